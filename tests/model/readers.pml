/* What several readers add to the ring's protocol (ring.pml): room is counted from the slowest head, every sleeper is rung, and the readers
 * ring a writer that waits for space until the slowest has passed. One writer and two readers, any of them killed at any step. Coarser than ring.pml so
 * that all states can be visited: a ring of two records, groups of one, a seq_cst store takes effect at once, and a note is not modelled.
 *
 * Sizes: -DKILLS_WRITER=n, -DKILLS_READER=n (of both together), -DRECORDS=n. Broken on purpose, each must fail: -DFASTEST_HEAD, -DRING_FIRST_ONLY,
 * -DNO_SPACE_BELL, -DNO_RING_FOR_THE_DEAD, -DLOOK_BEFORE_ANNOUNCE.
 */
#ifndef KILLS_WRITER
#define KILLS_WRITER 0
#endif
#ifndef KILLS_READER
#define KILLS_READER 0
#endif
#ifndef RECORDS
#define RECORDS 3
#endif
#define CAPACITY 2

byte data[CAPACITY];
byte tail, space_at, head[2], wake_at[2];
bit writer_bell, reader_bell[2];

/* SIGKILLs on their way. */
bit writer_kill, reader_kill[2];

/* A look at both heads, one after the other. */
inline heads_look() {
  limit = head[0] + CAPACITY;
#ifdef FASTEST_HEAD
  atomic { limit = (head[1] + CAPACITY > limit -> head[1] + CAPACITY : limit) }
#else
  atomic { limit = (head[1] + CAPACITY < limit -> head[1] + CAPACITY : limit) }
#endif
}

inline ring_sleeper(i) {
  if
  :: atomic { wake_at[i] >= old && wake_at[i] < at -> skip }; reader_bell[i] = 1
  :: atomic { !(wake_at[i] >= old && wake_at[i] < at) -> skip }
  fi
}

inline publish() {
  if
  :: tail != at ->
     atomic { old = tail; tail = at };
     ring_sleeper(0);
#ifndef RING_FIRST_ONLY
     ring_sleeper(1);
#endif
     old = 0
  :: else
  fi
}

proctype writer() {
  byte at, limit, old;
birth:
  {
    atomic { at = tail; limit = tail; old = 0 };
#ifndef NO_RING_FOR_THE_DEAD
    reader_bell[0] = 1;
    reader_bell[1] = 1;
#endif
    do
    :: atomic { at < RECORDS && at < limit -> assert(head[0] + CAPACITY > at && head[1] + CAPACITY > at); data[at % CAPACITY] = at + 1; at++ };
       if
       :: publish()
       :: at - tail < CAPACITY /* a batch grows */
       fi
    :: at < RECORDS && at >= limit ->
       writer_bell = 0;
       heads_look();
       if
       :: at < limit
       :: else ->
          publish();
#ifdef LOOK_BEFORE_ANNOUNCE
          heads_look();
          space_at = at - CAPACITY;
#else
          space_at = at - CAPACITY;
          heads_look();
#endif
          if
          :: at < limit
          :: else -> writer_bell
          fi
       fi
    :: at == RECORDS -> break
    od;
    publish()
  } unless { writer_kill };
  if
  :: writer_kill ->
     atomic { writer_kill = 0; at = 0; limit = 0; old = 0 };
     /* Dead. The supervisor reaps it, rings its neighbours, and starts a successor. */
#ifndef NO_RING_FOR_THE_DEAD
     reader_bell[0] = 1;
     reader_bell[1] = 1;
#endif
     goto birth
  :: else
  fi
}

inline release() {
  atomic { released = head[me]; head[me] = cursor };
#ifndef NO_SPACE_BELL
  if
  :: atomic { space_at >= released && space_at < cursor -> skip }; writer_bell = 1
  :: atomic { !(space_at >= released && space_at < cursor) -> skip }
  fi;
#endif
  released = 0
}

proctype reader(byte me) {
  byte cursor, released;
birth:
  {
    cursor = head[me];
#ifndef NO_RING_FOR_THE_DEAD
    writer_bell = 1;
#endif
    do
    :: head[me] < RECORDS ->
       reader_bell[me] = 0;
       do
       :: atomic { cursor < tail -> assert(data[cursor % CAPACITY] == cursor + 1); cursor++ }
       :: head[me] < cursor -> release()
       :: atomic { cursor == tail && head[me] == cursor -> break }
       od;
       if
       :: cursor < RECORDS ->
          wake_at[me] = cursor;
          if
          :: tail == cursor -> reader_bell[me]
          :: tail != cursor
          fi
       :: else
       fi
    :: else -> break
    od
  } unless { reader_kill[me] };
  if
  :: reader_kill[me] ->
     atomic { reader_kill[me] = 0; cursor = 0; released = 0 };
#ifndef NO_RING_FOR_THE_DEAD
     writer_bell = 1;
#endif
     goto birth
  :: else
  fi
}

proctype killer() {
  byte writer_left = KILLS_WRITER, reader_left = KILLS_READER;
end:
  do
#if KILLS_WRITER > 0
  :: atomic { writer_left > 0 && !writer_kill -> writer_left--; writer_kill = 1 }
#endif
#if KILLS_READER > 0
  :: atomic { reader_left > 0 && !reader_kill[0] -> reader_left--; reader_kill[0] = 1 }
  :: atomic { reader_left > 0 && !reader_kill[1] -> reader_left--; reader_kill[1] = 1 }
#endif
  :: false
  od
}

init {
  atomic { run writer(); run reader(0); run reader(1); run killer() }
}
