/**
 * One packet to another node's data port and its answer: a task of membership that is passed on to the leader of its group (`admin.md` 5.8). A connection of its own, which ends with the answer; nothing of it
 * keeps a process from ending.
 */
import { connect } from 'node:net';
import { type FramedPacket, PacketFramer } from '../protocol/framer.js';
import { encodeRequest, hasRequestId, type RequestFields, RequestIds } from '../protocol/packet.js';
import { parsePeerAddress } from '../protocol/peerAddress.js';

export interface LeaderLimits {
  /** How long the connection may take, and all of it, ms. */
  readonly dialMs: number;
  readonly totalMs: number;
}

/** Masters wait for 20 s; the reference waits for its leader without an end. */
export const LEADER_LIMITS: LeaderLimits = { dialMs: 3_000, totalMs: 60_000 };

/** The leader's answer as it was, or why there is none. */
export type LeaderAnswer =
  | { ok: true; resultCode: number; body: Uint8Array }
  | { ok: false; message: string };

/** Answers are empty, or an error text. */
const REPLY_BYTES_MAX = 64 * 1024;

const ids = new RequestIds();

/** Sends one packet to `address`. Always resolves, within `totalMs`. */
export function askLeader(
  address: string,
  packet: Omit<RequestFields, 'reqId'>,
  { dialMs, totalMs }: LeaderLimits,
): Promise<LeaderAnswer> {
  const target = parsePeerAddress(address);
  if (target === null) return Promise.resolve({ ok: false, message: `${address}: no address` });
  return new Promise((resolve) => {
    const reqId = ids.next();
    const socket = connect({ ...target, noDelay: true });
    socket.unref();
    const end = (answer: LeaderAnswer): void => {
      clearTimeout(dialTimer);
      clearTimeout(timer);
      socket.destroy();
      resolve(answer);
    };
    const fail = (why: string): void => end({ ok: false, message: `raft leader ${address}: ${why}` });
    const dialTimer = setTimeout(() => fail(`no connection within ${dialMs} ms`), dialMs);
    const timer = setTimeout(() => fail(`no answer within ${totalMs} ms`), totalMs);
    for (const one of [dialTimer, timer]) one.unref();
    const framer = new PacketFramer({
      direction: 'reply',
      argBytesMax: REPLY_BYTES_MAX,
      bodyBytesMax: REPLY_BYTES_MAX,
    });
    const take = ({ header, body }: FramedPacket): void => {
      if (hasRequestId(header, reqId)) end({ ok: true, resultCode: header.resultCode, body: body.slice() });
      else fail('an answer to another packet');
    };
    socket.on('connect', () => {
      clearTimeout(dialTimer);
      socket.write(encodeRequest({ ...packet, reqId }));
    });
    socket.on('data', (chunk) => {
      const fault = framer.push(chunk, take);
      if (fault !== null) fail(fault.message);
    });
    socket.on('error', (error) => fail(error.message));
    socket.on('close', () => fail('connection closed'));
  });
}
