/** Reads the recorded admin traffic under `test/vectors/admin`, for tests of the control plane and of the embedded master. */
import { readFileSync } from 'node:fs';
import { PacketFramer } from '../../src/protocol/framer.js';

/** From `dist/test/control` to `test/vectors` of the sources. */
const VECTORS = new URL('../../../test/vectors/admin/', import.meta.url);

export interface RecordedPacket {
  opcode: number;
  resultCode: number;
  partitionId: number;
  body: string;
}

/** The packets of one direction of a recorded connection. */
export function recordedPackets(name: string, direction: 'request' | 'reply'): RecordedPacket[] {
  const bytes = readFileSync(new URL(`${name}.${direction === 'request' ? 'c2s' : 's2c'}.bin`, VECTORS));
  const packets: RecordedPacket[] = [];
  const framer = new PacketFramer({ direction, argBytesMax: 65_536, bodyBytesMax: 65_536 });
  framer.push(bytes, ({ header, body }) => {
    const { opcode, resultCode, partitionId } = header;
    packets.push({ opcode, resultCode, partitionId, body: Buffer.from(body).toString() });
  });
  return packets;
}

/** Body of a recorded HTTP request or reply. */
export function recordedHttpBody(file: string): string {
  const text = readFileSync(new URL(file, VECTORS), 'utf8');
  return text.slice(text.indexOf('\r\n\r\n') + 4);
}

/** Head of a recorded HTTP message, line by line. */
export function recordedHttpHead(file: string): string[] {
  const text = readFileSync(new URL(file, VECTORS), 'utf8');
  return text.slice(0, text.indexOf('\r\n\r\n')).split('\r\n');
}

export interface Probe {
  note: string;
  opcode: number;
  partitionId: number;
  body: string;
  resultCode: number;
  /** Error text of the reply; empty for OK. */
  text: string;
}

/** Admin packets with mistakes and what the reference answered. */
export function recordedProbes(): Probe[] {
  const inputs = JSON.parse(readFileSync(new URL('admin.json', VECTORS), 'utf8')) as {
    note: string;
    op: number;
    part?: number;
    text?: string;
  }[];
  const outputs = readFileSync(new URL('admin.out', VECTORS), 'utf8').trim().split('\n');
  return inputs.map((input, index) => {
    const { replies } = JSON.parse(outputs[index]!) as { replies: { result: string; text?: string }[] };
    const reply = replies[0]!;
    return {
      note: input.note,
      opcode: input.op,
      // The probe's own partition unless told otherwise.
      partitionId: input.part ?? 5,
      body: input.text ?? '',
      resultCode: Number(reply.result),
      text: reply.text ?? '',
    };
  });
}

/** The shape of a JSON value: keys in order, and the type of everything else. Arrays show their first element. */
export function shapeOf(value: unknown): unknown {
  if (Array.isArray(value)) return value.length === 0 ? [] : [shapeOf(value[0])];
  if (typeof value !== 'object' || value === null) return value === null ? 'null' : typeof value;
  return Object.entries(value).map(([key, entry]) => [key, shapeOf(entry)]);
}
