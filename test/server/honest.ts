/** An honest fake worker, and the packets it understands: shared by the tests of the network thread. */
import zlib from 'node:zlib';
import { OP } from '../../src/protocol/opcodes.js';
import { encodeRequest } from '../../src/protocol/packet.js';
import { RESULT } from '../../src/protocol/resultCodes.js';
import type { Answer, FakeNode, Seen } from './fakeNode.js';

/** A worker that checks bodies and fills reads with bytes that follow from extent and offset. */
export function honest(request: Seen): Answer {
  if (request.opcode === OP.streamRead) {
    fill(request.slot, request.size, request.extentId, request.extentOffset);
    return {
      code: RESULT.ok,
      bodyBytes: request.size,
      crc: zlib.crc32(request.slot.subarray(0, request.size)),
    };
  }
  return { code: RESULT.ok, bodyBytes: 0, crc: zlib.crc32(request.slot.subarray(0, request.size)) };
}

/** The bytes of an extent from `offset`: each follows from its place. */
export function fill(into: Uint8Array, bytes: number, extentId: number, offset: number): void {
  for (let i = 0; i < bytes; i++) into[i] = (extentId * 31 + offset + i) & 0xff;
}

/** A write of `bytes` bytes that follow from `reqId`. */
export function write(reqId: number, bytes: number, partitionId = 1): Uint8Array {
  const body = new Uint8Array(bytes).fill(reqId & 0xff);
  return encodeRequest({
    opcode: OP.write,
    reqId,
    extentType: 1,
    partitionId,
    extentId: 1025,
    extentOffset: 0,
    crc: zlib.crc32(body),
    body,
  });
}

/** A stream read of extent 7. */
export function read(reqId: number, offset: number, bytes: number, partitionId = 1): Uint8Array {
  return encodeRequest({
    opcode: OP.streamRead,
    reqId,
    extentType: 1,
    partitionId,
    extentId: 7,
    extentOffset: offset,
    size: bytes,
  });
}

/** Runs a node for the length of `run`; it listens on `address`. */
export async function withNode(
  node: FakeNode,
  run: (node: FakeNode) => Promise<void>,
  address = '127.0.0.1',
): Promise<void> {
  await node.start(4, address);
  try {
    await run(node);
  } finally {
    node.stop();
  }
}
