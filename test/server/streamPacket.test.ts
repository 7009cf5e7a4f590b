/** Headers of streams of unknown length, against the packets that the reference sent. */
import t from 'tap';
import { HEADER_BYTES } from '../../src/protocol/header.js';
import { OP } from '../../src/protocol/opcodes.js';
import { readTinyRepairArg, TINY_REPAIR_ARG_BYTES } from '../../src/protocol/tinyRepairArg.js';
import { PendingTable, TAG_KIND } from '../../src/server/pending.js';
import { writeStreamPacket } from '../../src/server/streamPacket.js';
import { recordedStreams } from '../protocol/vectors.js';

t.test('every recorded packet of a stream of unknown length is built again, byte for byte', async (t) => {
  const seen = new Map<number, number>();
  for (const { packets, bytes } of recordedStreams()) {
    for (const asked of packets) {
      const isStream = asked.op === OP.readTinyDeleteRecord || asked.op === OP.tinyExtentRepairRead;
      if (asked.dir !== 'c2s' || !isStream || asked.result !== 'init') continue;
      const request = bytes.c2s.subarray(asked.offset, asked.offset + HEADER_BYTES);
      const answers = packets.filter(
        ({ dir, reqId, result }) => dir === 's2c' && reqId === asked.reqId && result === 'Ok',
      );
      for (const answer of answers) {
        const headerBytes = HEADER_BYTES + answer.argLen;
        const expected = Buffer.from(bytes.s2c.subarray(answer.offset, answer.offset + headerBytes));
        const arg = readTinyRepairArg(expected.subarray(HEADER_BYTES));
        if (arg === null) throw new Error('a recorded Arg cannot be read');
        const pending = new PendingTable(1);
        const tag = pending.acquire(0, TAG_KIND.stream, request, 0);
        pending.extentOffset[tag] = answer.extentOffset;
        pending.crc[tag] = answer.crc;
        pending.bodyBytes[tag] = answer.size;
        pending.holeBytes[tag] = arg.holeBytes;
        pending.remainingBytes[tag] = arg.availableBytes - (answer.extentOffset - asked.extentOffset);
        const built = new DataView(new ArrayBuffer(HEADER_BYTES + TINY_REPAIR_ARG_BYTES));
        t.equal(writeStreamPacket(built, 0, pending, tag), answer.argLen);
        t.equal(Buffer.from(built.buffer, 0, headerBytes).toString('hex'), expected.toString('hex'));
        seen.set(asked.op, (seen.get(asked.op) ?? 0) + 1);
      }
    }
  }
  t.ok(seen.get(OP.readTinyDeleteRecord)! > 0 && seen.get(OP.tinyExtentRepairRead)! > 3, `${[...seen]}`);
});
