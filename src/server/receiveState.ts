/**
 * The states of a connection's receiver (`connection.ts`). `stream` and `chunks`: a read is being cut into packets; `skip`: a body passes by
 * unread; `discard`: nothing more is taken.
 */

/** Where in a packet the receiver stands. */
export const STATE = {
  header: 0,
  arg: 1,
  admit: 2,
  body: 3,
  control: 4,
  skip: 5,
  chunks: 6,
  discard: 7,
  stream: 8,
} as const;
