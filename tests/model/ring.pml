/* The ring's protocol (shm/ring.h), for an exhaustive check by spin: one writer and one reader, each of them killed at any step. What several
 * readers add is in readers.pml.
 *
 * What is modelled, in the order of ring.h: the store of tail as the publishing, groups of one or two records, batches of groups, two note
 * slots a side, release in batches (the reader may hold less than half of the ring while it sleeps), sleep and wake for data (wake_at) and for
 * space (space_at, asking for more room than is needed at once), one bell a worker, cleared before the look, the supervisor's ring for the
 * dead one's neighbour, the ring on attaching. The words that peers look at (tail, space_at, head, wake_at) go through FIFO store buffers
 * (x86-TSO); a seq_cst store waits until its buffer is empty, any other does not. A killed process's buffer still drains, then it counts as
 * dead. Records and notes are stored at once: records are looked at only behind the tail that follows them in the same FIFO, notes only by a
 * successor, so a delay could show nobody anything else.
 *
 * What is proven: record p is number p + 1 in both halves whenever the reader looks (none lost, torn or twice), the tail that it sees is always
 * the end of a group, a note that is taken belongs to the position it is taken for, positions never pass each other, and no run stops before
 * everything is released (nobody sleeps for ever: spin reports such a state as an invalid end).
 *
 * Sizes: -DKILLS_WRITER=n, -DKILLS_READER=n, -DINPUTS=n. Broken on purpose, each must fail: -DNO_RING_FOR_THE_DEAD (neither supervisor nor
 * successor rings), -DCLEAR_AFTER_LOOK, -DRELEASE_ONLY (no store waits for its buffer), -DONE_NOTE_SLOT, -DNOTE_AFTER_TAIL,
 * -DTAIL_BEFORE_DATA, -DNO_NOTE (the successor takes the tail for the number of inputs), -DHALF_GROUPS, -DRELEASE_UNREAD, -DNO_SPACE_BELL,
 * -DNO_DATA_BELL, -DGREEDY_SPACE (a writer asks for a whole free ring).
 */
#ifndef KILLS_WRITER
#define KILLS_WRITER 1
#endif
#ifndef KILLS_READER
#define KILLS_READER 1
#endif
#ifndef INPUTS
#define INPUTS 4
#endif

#define NOBODY   255
#define CAPACITY 4
#define HALF     2 /* a group's most, and where a reader releases at the latest */
#define WISH     2 /* the room that a sleeping writer asks for: a quarter ring in the code, more than one record here */
/* Input i gives one record when i is odd, else two: the tail behind inputs 0..i-1 is 2, 3, 5, 6 ... */
#define GROUP_SIZE(i)   (1 + ((i) + 1) % 2)
#define GROUP_END(i)    ((i) + ((i) + 1) / 2)
#define IS_GROUP_END(p) (p % 3 != 1)
#define RECORDS         GROUP_END(INPUTS)

/* Shared memory: the records, the writer's words, the reader's. */
byte low[CAPACITY], high[CAPACITY]; /* the two halves of each record */
byte tail, space_at;
byte writer_note_at[2], writer_note[2];
byte head, wake_at;
byte reader_note_at[2], reader_note[2];

/* Bells: eventfds, of which only "rung or not" matters. */
bit writer_bell, reader_bell;

/* Store buffers. */
mtype = { TAIL, SPACE_AT, HEAD, WAKE_AT };
chan writer_stores = [2] of { mtype, byte };
chan reader_stores = [2] of { mtype, byte };

#ifdef RELEASE_ONLY
#define STORE(stores, name, value) stores!name, value
#else
#define STORE(stores, name, value) stores!name, value; empty(stores)
#endif

proctype writer_drain() {
  byte value;
end:
  do
  :: atomic { writer_stores?TAIL, value -> assert(value > tail && value - tail <= CAPACITY); tail = value; value = 0 }
  :: atomic { writer_stores?SPACE_AT, value -> space_at = value; value = 0 }
  od
}

proctype reader_drain() {
  byte value;
end:
  do
  :: atomic { reader_stores?HEAD, value -> assert(value > head && value <= tail); head = value; value = 0 }
  :: atomic { reader_stores?WAKE_AT, value -> wake_at = value; value = 0 }
  od
}

/* Life and death. `kill` is SIGKILL on its way, `dead` what waitpid says, `spawn` the successor's birth. */
bit writer_kill, writer_dead, writer_spawn;
bit reader_kill, reader_dead, reader_spawn;

proctype writer_supervisor() {
  byte left = KILLS_WRITER;
end:
  do
  :: left > 0 ->
     left--;
     writer_kill = 1;
endunneeded: /* nobody is there any more to be killed */
     atomic { writer_dead -> writer_dead = 0; writer_kill = 0 };
#ifndef NO_RING_FOR_THE_DEAD
     reader_bell = 1;
#endif
     writer_spawn = 1
  od
}

proctype reader_supervisor() {
  byte left = KILLS_READER;
end:
  do
  :: left > 0 ->
     left--;
     reader_kill = 1;
endunneeded:
     atomic { reader_dead -> reader_dead = 0; reader_kill = 0 };
#ifndef NO_RING_FOR_THE_DEAD
     writer_bell = 1;
#endif
     reader_spawn = 1
  od
}


inline ring_reader() {
  /* seq_cst load of wake_at behind the store of tail: was somebody asleep in [old, published)? */
#ifdef NO_DATA_BELL
  skip
#else
  if
  :: atomic { wake_at >= old && wake_at < published -> ringing = 1 }
  :: atomic { !(wake_at >= old && wake_at < published) -> ringing = 0 }
  fi;
  if
  :: ringing -> atomic { reader_bell = 1; ringing = 0 }
  :: else
  fi
#endif
}

inline note_fill() {
  writer_note_at[slot] = NOBODY;
  writer_note[slot] = input;
  writer_note_at[slot] = group_end;
#ifndef ONE_NOTE_SLOT
  slot = 1 - slot
#endif
}

inline publish() {
  if
  :: group_end != published ->
#ifndef NOTE_AFTER_TAIL
     note_fill();
#endif
     old = published;
     published = group_end;
     STORE(writer_stores, TAIL, published);
#ifdef NOTE_AFTER_TAIL
     note_fill();
#endif
     ring_reader();
     old = 0
  :: else
  fi
}

inline head_look() {
  limit = head + CAPACITY;
  assert(limit <= published + CAPACITY && limit >= published)
}

#ifdef GREEDY_SPACE
#define WISHED at
#else
#define WISHED ((at + WISH < published + HALF -> at + WISH : published + HALF) - CAPACITY)
#endif

proctype writer() {
  byte at, group_end, published, limit, input, done_of_group, old, slot, wanted;
  bit ringing;
birth:
  {
    /* ring_writer_attach */
    atomic {
      published = tail; at = tail; group_end = tail; limit = 0; done_of_group = 0; ringing = 0; old = 0; wanted = 0;
      if
      :: writer_note_at[0] == published -> slot = 1; input = writer_note[0]
      :: else -> assert(writer_note_at[1] == published); slot = 0; input = writer_note[1]
      fi;
#ifdef ONE_NOTE_SLOT
      slot = 1 - slot;
#endif
#ifdef NO_NOTE
      input = published;
#endif
      assert(GROUP_END(input) == published)
    };
    head_look();
#ifndef NO_RING_FOR_THE_DEAD
    reader_bell = 1;
#endif
    do
    :: input < INPUTS ->
       do
       :: done_of_group < GROUP_SIZE(input) ->
          /* ring_reserve, and ring_writer_sleep when there is no room */
          do
          :: at + 1 <= limit -> break
          :: at + 1 > limit ->
#ifndef CLEAR_AFTER_LOOK
             writer_bell = 0;
#endif
             head_look();
             if
             :: at + 1 <= limit
             :: else ->
                publish();
                wanted = (at + 1 - CAPACITY > WISHED -> at + 1 - CAPACITY : WISHED);
                STORE(writer_stores, SPACE_AT, wanted - 1);
                wanted = 0;
                head_look();
                if
                :: at + 1 <= limit
                :: else ->
#ifdef CLEAR_AFTER_LOOK
                   writer_bell = 0;
#endif
                   writer_bell
                fi
             fi
          od;
#ifdef TAIL_BEFORE_DATA
          low[at % CAPACITY] = at + 1;
#else
          low[at % CAPACITY] = at + 1;
          high[at % CAPACITY] = at + 1;
#endif
          atomic { at++; done_of_group++ };
#ifdef HALF_GROUPS
          group_end = at;
#endif
       :: else -> break
       od;
       atomic { input++; done_of_group = 0; group_end = at };
       if
       :: publish()
       :: group_end - published < HALF /* a batch grows, up to the size at which it publishes itself */
       fi;
#ifdef TAIL_BEFORE_DATA
       high[(at - 1) % CAPACITY] = at;
#endif
    :: else -> break
    od;
    publish()
  } unless { writer_kill };
  if
  :: writer_kill ->
     atomic { empty(writer_stores) -> writer_dead = 1; at = 0; group_end = 0; limit = 0; done_of_group = 0; old = 0; slot = 0; wanted = 0;
              input = 0; published = 0; ringing = 0 };
     atomic { writer_spawn -> writer_spawn = 0 };
     goto birth
  :: else
  fi
}

inline release() {
  if
  :: cursor != released ->
     reader_note_at[slot] = NOBODY;
     reader_note[slot] = cursor;
     reader_note_at[slot] = cursor;
#ifndef ONE_NOTE_SLOT
     slot = 1 - slot;
#endif
     STORE(reader_stores, HEAD, cursor);
     /* seq_cst load of space_at behind the store of head: does the writer wait for a place in [released, cursor)? */
#ifndef NO_SPACE_BELL
     if
     :: atomic { space_at >= released && space_at < cursor -> ringing = 1 }
     :: atomic { !(space_at >= released && space_at < cursor) -> ringing = 0 }
     fi;
     if
     :: ringing -> atomic { writer_bell = 1; ringing = 0 }
     :: else
     fi;
#endif
     released = cursor
  :: else
  fi
}

proctype reader() {
  byte cursor, released, seen, slot;
  bit ringing;
birth:
  {
    /* ring_reader_attach */
    atomic {
      released = head; cursor = head; seen = head; ringing = 0;
      if
      :: reader_note_at[0] == released -> slot = 1; assert(reader_note[0] == released)
      :: else -> assert(reader_note_at[1] == released); slot = 0; assert(reader_note[1] == released)
      fi;
#ifdef ONE_NOTE_SLOT
      slot = 1 - slot
#endif
    };
#ifndef NO_RING_FOR_THE_DEAD
    writer_bell = 1;
#endif
    do
    :: released < RECORDS ->
#ifndef CLEAR_AFTER_LOOK
       reader_bell = 0;
#endif
       do
       :: cursor == seen ->
          seen = tail;
          assert(seen >= cursor && seen - released <= CAPACITY);
          assert(IS_GROUP_END(seen));
          if
          :: cursor == seen -> break
          :: else
          fi
       :: cursor < seen ->
#ifdef RELEASE_UNREAD
          cursor++;
          release();
          assert(low[(cursor - 1) % CAPACITY] == cursor);
          assert(high[(cursor - 1) % CAPACITY] == cursor)
#else
          assert(low[cursor % CAPACITY] == cursor + 1);
          assert(high[cursor % CAPACITY] == cursor + 1);
          cursor++
#endif
       :: cursor - released >= HALF -> release()
       od;
       if
       :: release()
       :: cursor - released < HALF && cursor < RECORDS /* holds what it has and waits for more */
       fi;
       if
       :: released < RECORDS ->
          STORE(reader_stores, WAKE_AT, cursor);
          if
          :: atomic { tail == cursor -> skip };
#ifdef CLEAR_AFTER_LOOK
             reader_bell = 0;
#endif
             reader_bell
          :: atomic { tail != cursor -> skip }
          fi
       :: else
       fi
    :: else -> break
    od
  } unless { reader_kill };
  if
  :: reader_kill ->
     atomic { empty(reader_stores) -> reader_dead = 1; cursor = 0; released = 0; seen = 0; slot = 0; ringing = 0 };
     atomic { reader_spawn -> reader_spawn = 0 };
     goto birth
  :: else
  fi
}

init {
  atomic {
    writer_note_at[1] = NOBODY;
    reader_note_at[1] = NOBODY;
    run reader();
    run reader_drain();
    run writer_drain();
    run reader_supervisor();
    run writer();
    run writer_supervisor()
  }
}
