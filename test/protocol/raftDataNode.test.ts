/** What data nodes ask each other for their raft, and the partition's files that raft needs: every recorded piece both ways (`raft.md` 5.6, 5.7, 5.10). */
import t from 'tap';
import { HEADER_BYTES, HEADER_OFFSET, headerV1, PacketHeader } from '../../src/protocol/header.js';
import { encodePacket } from '../../src/protocol/packet.js';
import {
  decodeMaxExtentIdAndSize,
  decodeUint64Body,
  encodeMaxExtentIdAndSize,
  encodeUint64Body,
  newPacketToBroadcastMinAppliedId,
  newPacketToGetAppliedId,
  newPacketToGetMaxExtentIdAndPartitionSize,
  newPacketToGetPartitionSize,
} from '../../src/protocol/queries.js';
import { decodeApply } from '../../src/storage/applyFile.js';
import { decodeMeta, encodeMeta } from '../../src/storage/metaFile.js';
import { type RaftVector, raftVectors } from './raftVectors.js';
import { hex, unhex, utf8, viewOf } from './vectors.js';

interface PacketFields {
  dataHex: string;
  opcode: number;
  partitionID: string;
  reqID: string;
  resultCode: number;
  size: number;
}

function vector(name: string): RaftVector<Record<string, string>> {
  const found = raftVectors<Record<string, string>>('data_node').find((each) => each.name === name);
  if (found === undefined) throw new Error(`no vector ${name}`);
  return found;
}

t.test('packets, both ways', async (t) => {
  const packets = raftVectors<PacketFields>('data_node').filter(({ fields }) => 'opcode' in fields);
  t.equal(packets.length, 8);
  for (const { name, hex: raw, fields } of packets) {
    const bytes = unhex(raw);
    const header = new PacketHeader();
    t.equal(headerV1.decode(viewOf(bytes), 0, header), 'ok', name);
    const { opcode, resultCode, size } = header;
    t.same(
      { opcode, resultCode, size, partitionID: String(header.partitionId) },
      {
        opcode: fields.opcode,
        resultCode: fields.resultCode,
        size: fields.size,
        partitionID: fields.partitionID,
      },
      name,
    );
    const reqId = (BigInt(header.reqIdHigh) << 32n) | BigInt(header.reqIdLow);
    t.equal(String(reqId), fields.reqID, name);
    const body = bytes.subarray(HEADER_BYTES);
    t.equal(hex(body), fields.dataHex, name);
    t.equal(hex(encodePacket(header, new Uint8Array(0), body)), raw, name);
  }
});

t.test('the node asks in the recorded bytes', async (t) => {
  const asked: readonly [string, Uint8Array][] = [
    ['get_applied_id_req', newPacketToGetAppliedId(0, 101)],
    ['broadcast_min_applied_id_req', newPacketToBroadcastMinAppliedId(0, 101, 4242)],
    ['get_partition_size_req', newPacketToGetPartitionSize(0, 101, 1030)],
    ['get_max_extent_req', newPacketToGetMaxExtentIdAndPartitionSize(0, 101)],
  ];
  for (const [name, packet] of asked) {
    const expected = unhex(vector(name).hex);
    // The recorded request id has 57 bits; the node counts from 2.
    expected.fill(0, HEADER_OFFSET.reqId, HEADER_OFFSET.reqId + 8);
    t.equal(hex(packet), hex(expected), name);
  }
});

t.test('bodies of the answers, both ways', async (t) => {
  const bodyOf = (name: string): Uint8Array => unhex(vector(name).fields['dataHex'] ?? '');
  t.equal(decodeUint64Body(bodyOf('get_applied_id_resp')), 4242);
  t.equal(hex(encodeUint64Body(4242)), hex(bodyOf('get_applied_id_resp')));
  t.equal(decodeUint64Body(bodyOf('get_partition_size_resp')), 0x3ade68b1);
  const both = { extentIdMax: 1030, sizeBytes: 0x3ade68b1 };
  t.same(decodeMaxExtentIdAndSize(bodyOf('get_max_extent_resp')), both);
  t.equal(hex(encodeMaxExtentIdAndSize(1030, 0x3ade68b1)), hex(bodyOf('get_max_extent_resp')));
});

t.test('the META and the APPLY of a partition, both ways', async (t) => {
  const meta = vector('partition_META');
  t.equal(utf8(unhex(meta.hex)), meta.fields['text']);
  const decoded = decodeMeta(unhex(meta.hex));
  t.match(decoded, { ok: true, value: { partitionId: 101, lastTruncateId: 4200 } });
  if (decoded.ok) t.equal(encodeMeta(decoded.value), meta.fields['text']);
  const apply = vector('partition_APPLY');
  const { index, problem } = decodeApply(unhex(apply.hex));
  t.same({ index: String(index), problem }, { index: apply.fields['appliedID'], problem: null });
  t.equal(hex(Buffer.from(String(index))), apply.hex, 'as it is saved');
});
