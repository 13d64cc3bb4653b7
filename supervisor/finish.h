// The end of a run with --once that goes through topics.
//
// NAME          finish - tells the readers of topics when nobody of this run writes to them any more
// DESCRIPTION   A source with --once takes what is there and ends. The reader of a topic that other chains of the same pipeline write
// cannot
//               know what is there before they have ended, so it goes on until it is told SLOT_FINISH: then it asks where the topic ends,
//               reads up to there, and ends. Chain after chain ends like this, in the order of the flow.
// CALLED BY     reap.c after every death, lane.c when a lane has got new memory (the command lay in the old one).
#pragma once

struct instance;

void finish_check(struct instance *i);
