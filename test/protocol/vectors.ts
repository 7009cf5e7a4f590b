/** Reads the golden packets and the recorded streams under `test/vectors`, for the protocol's tests. */
import { readFileSync } from 'node:fs';
import { brotliDecompressSync } from 'node:zlib';
import { MAGIC, PacketHeader } from '../../src/protocol/header.js';
import type { JsonValue } from '../../src/protocol/jsonText.js';

/** From `dist/test/protocol` to `test/vectors` of the sources. */
const VECTORS = new URL('../../../test/vectors/', import.meta.url);

export interface HeaderFields {
  extentType: number;
  opcode: number;
  resultCode: number;
  remainingFollowers: number;
  crc: number;
  size: number;
  argBytes: number;
  partitionId: number;
  extentId: number;
  extentOffset: number;
  reqId: number;
  kernelOffset: number;
}

export interface WireVector {
  name: string;
  what: string;
  hex: string;
  header: HeaderFields;
  arg: string;
  body: string;
  /** Only header and Arg are given. */
  bodyOmitted?: boolean;
}

export interface RecordedPacket {
  dir: 'c2s' | 's2c';
  offset: number;
  len: number;
  op: number;
  opName: string;
  result: string;
  extentType: number;
  remainingFollowers: number;
  crc: number;
  size: number;
  argLen: number;
  partition: number;
  extent: number;
  extentOffset: number;
  reqId: number;
  kernelOffset: number;
  arg?: string;
}

export interface RecordedStream {
  phase: string;
  stream: number;
  packets: RecordedPacket[];
  bytes: { c2s: Uint8Array; s2c: Uint8Array };
}

function load(name: string): Buffer {
  return readFileSync(new URL(name, VECTORS));
}

/** The worked examples of the specification. */
export function wireVectors(): WireVector[] {
  return JSON.parse(load('wire.json').toString()) as WireVector[];
}

export function wireVector(name: string): WireVector {
  const found = wireVectors().find((vector) => vector.name === name);
  if (found === undefined) throw new Error(`no vector ${name}`);
  return found;
}

/** Every recorded connection to a data node. */
export function recordedStreams(): RecordedStream[] {
  const blob = brotliDecompressSync(load('node/streams.bin.br'));
  interface Entry {
    phase: string;
    stream: number;
    packets: RecordedPacket[];
    /** A direction that carried nothing is missing. */
    files: Partial<Record<'c2s' | 's2c', { offset: number; bytes: number }>>;
  }
  const entries = JSON.parse(brotliDecompressSync(load('node/streams.json.br')).toString()) as Entry[];
  return entries.map(({ phase, stream, packets, files }) => {
    const part = (file: { offset: number; bytes: number } = { offset: 0, bytes: 0 }): Uint8Array =>
      blob.subarray(file.offset, file.offset + file.bytes);
    return { phase, stream, packets, bytes: { c2s: part(files.c2s), s2c: part(files.s2c) } };
  });
}

/** Bodies that nodes posted to `/dataNode/response`. */
export function recordedResponses(): string[] {
  return JSON.parse(load('node/responses.json').toString()) as string[];
}

export interface RandomWriteVector {
  name: string;
  hex: string;
  fields: Record<string, string | number>;
}

export function randomWriteVectors(): RandomWriteVector[] {
  return JSON.parse(load('randomWrite.json').toString()) as RandomWriteVector[];
}

const TWO_32 = 0x1_0000_0000;

/** A header object with these fields. */
export function headerOf(fields: HeaderFields): PacketHeader {
  const { reqId, kernelOffset, ...rest } = fields;
  return Object.assign(new PacketHeader(), rest, {
    magic: MAGIC,
    reqIdHigh: Math.floor(reqId / TWO_32),
    reqIdLow: reqId >>> 0,
    kernelOffsetHigh: Math.floor(kernelOffset / TWO_32),
    kernelOffsetLow: kernelOffset >>> 0,
  });
}

/** The fields of a header object, ReqID and KernelOffset as numbers. */
export function fieldsOf(header: PacketHeader): HeaderFields {
  return {
    extentType: header.extentType,
    opcode: header.opcode,
    resultCode: header.resultCode,
    remainingFollowers: header.remainingFollowers,
    crc: header.crc,
    size: header.size,
    argBytes: header.argBytes,
    partitionId: header.partitionId,
    extentId: header.extentId,
    extentOffset: header.extentOffset,
    reqId: header.reqIdHigh * TWO_32 + header.reqIdLow,
    kernelOffset: header.kernelOffsetHigh * TWO_32 + header.kernelOffsetLow,
  };
}

export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
}

export function unhex(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text, 'hex'));
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

export function utf8(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
}

export function json(value: JsonValue): Uint8Array {
  return Buffer.from(JSON.stringify(value));
}
