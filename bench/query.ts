/**
 * Questions the generator asks a node before a run, one packet at a time.
 */
import * as net from 'node:net';
import { PacketFramer } from '../src/protocol/framer.js';
import { EXTENT_TYPE_NORMAL, readUint64 } from '../src/protocol/header.js';
import { OP } from '../src/protocol/opcodes.js';
import { encodeRequest } from '../src/protocol/packet.js';
import { RESULT } from '../src/protocol/resultCodes.js';
import type { Address } from './address.js';
import { describeError } from './reply.js';

/** First extent id of a partition that has none (`wire.md` 1). */
const FIRST_EXTENT_ID = 1025;
const BODY_BYTES_MAX = 1 << 20;

/**
 * The lowest extent id above everything in each partition (`wire.md` 9.7, opcode 0x16): for numbering extents oneself. Throws an Error with a clear text when the
 * node cannot be reached or refuses.
 */
export async function firstFreeIds(
  address: Address,
  partitions: readonly number[],
  timeoutMs: number,
): Promise<Map<number, number>> {
  const socket = net.connect({ ...address, noDelay: true });
  try {
    const ids = new Map<number, number>();
    for (const partitionId of new Set(partitions)) {
      const request = encodeRequest({
        opcode: OP.getMaxExtentIdAndPartitionSize,
        reqId: partitionId + 1,
        partitionId,
      });
      const body = await ask(socket, request, timeoutMs);
      if (body.byteLength < 16)
        throw new Error(`partition ${partitionId}: an answer of ${body.byteLength} bytes to 0x16`);
      const highest = readUint64(new DataView(body.buffer, body.byteOffset), 0);
      ids.set(partitionId, Math.max(highest + 1, FIRST_EXTENT_ID));
    }
    return ids;
  } finally {
    socket.destroy();
  }
}

/** What speaks against an extent being gone: it can be read, or the refusal is another one. Null when it is gone. */
export async function presence(
  address: Address,
  partitionId: number,
  extentId: number,
  timeoutMs: number,
): Promise<string | null> {
  const socket = net.connect({ ...address, noDelay: true });
  const request = { opcode: OP.streamFollowerRead, reqId: 1, extentType: EXTENT_TYPE_NORMAL, size: 1 };
  try {
    await ask(socket, encodeRequest({ ...request, partitionId, extentId }), timeoutMs);
    return 'it was deleted and can be read';
  } catch (error) {
    const gone = error instanceof Refusal && error.code === RESULT.notExistErr;
    return gone ? null : `it was deleted; a read is answered: ${(error as Error).message}`;
  } finally {
    socket.destroy();
  }
}

/** An error reply. */
class Refusal extends Error {
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

/** Sends one request and returns the body of its OK reply, in memory of its own. */
function ask(socket: net.Socket, request: Uint8Array, timeoutMs: number): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const framer = new PacketFramer({
      direction: 'reply',
      argBytesMax: 1 << 16,
      bodyBytesMax: BODY_BYTES_MAX,
    });
    const timer = setTimeout(() => end(new Error('no reply to a query')), timeoutMs);
    const onClose = () => end(new Error('the node closed the connection at a query'));
    const onData = (chunk: Uint8Array) => {
      const fault = framer.push(chunk, ({ header, body }) => {
        if (header.resultCode === RESULT.ok) return end(body.slice());
        const { code, text } = describeError(header, body);
        end(new Refusal(header.resultCode, `${code}: ${text}`));
      });
      if (fault !== null) end(new Error(fault.message));
    };
    function end(outcome: Uint8Array | Error): void {
      clearTimeout(timer);
      socket.off('data', onData).off('error', end).off('close', onClose);
      // Later errors of the socket concern nobody.
      socket.on('error', () => {});
      if (outcome instanceof Error) reject(outcome);
      else resolve(outcome);
    }
    socket.on('data', onData).on('error', end).on('close', onClose);
    socket.write(request);
  });
}
