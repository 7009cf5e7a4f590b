/** Runs the compiled packet generator as a process of its own, against sinks. For the tests of the whole program. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import type { RunResult } from '../../bench/result.js';
import { type Misbehaviour, Sink, type SinkOptions } from '../../bench/sink.js';
import type { PacketHeader } from '../../src/protocol/header.js';

/** The compiled entry point. */
export const LOAD = fileURLToPath(new URL('../../bench/load.js', import.meta.url));

/** Where a test's files go; removed after the test file. */
export const folder = mkdtempSync(join(tmpdir(), 'extentd-load-'));
t.teardown(() => rmSync(folder, { recursive: true }));

export interface Ended {
  code: number | null;
  out: string;
  err: string;
}

/** Runs the generator to its end. */
export async function load(...args: string[]): Promise<Ended> {
  const child = spawn(process.execPath, [LOAD, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let out = '';
  let err = '';
  child.stdout.on('data', (chunk) => {
    out += chunk;
  });
  child.stderr.on('data', (chunk) => {
    err += chunk;
  });
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, out, err };
}

let files = 0;

/** Runs against a new sink; the first result of the JSON file with the exit code and the text. */
export async function drive(
  t: Test,
  options: SinkOptions,
  ...args: string[]
): Promise<Ended & { result: RunResult; sink: Sink }> {
  const sink = await Sink.listen(0, options);
  t.teardown(() => sink.close());
  const file = join(folder, `${++files}.json`);
  const ended = await load('--addr', `127.0.0.1:${sink.port}`, '--json', file, '--quiet', ...args);
  const parsed = JSON.parse(readFileSync(file, 'utf8')) as { results: RunResult[] };
  return { ...ended, result: parsed.results[0]!, sink };
}

/** Does `fault` to the packet of this opcode that comes at this place, counted from 1. */
export function faultAt(opcode: number, place: number, fault: Misbehaviour): SinkOptions {
  let seen = 0;
  const misbehave = (header: PacketHeader) => (header.opcode === opcode && ++seen === place ? fault : null);
  return { keepData: true, misbehave };
}

/** Failed operations by code. */
export function failures(result: RunResult): Record<string, number> {
  return Object.fromEntries(result.failures.map(({ code, count }) => [code, count]));
}
