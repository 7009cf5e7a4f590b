/**
 * A disk that hangs while it is loaded is left out after a while, and the others serve (pains.md 1). The hang is a META that is a pipe: its open waits for a
 * writer, for ever, as a call to a lost disk does.
 */
import { execFileSync } from 'node:child_process';
import { closeSync, constants, mkdirSync, openSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { RESULT } from '../../src/protocol/resultCodes.js';
import {
  restart,
  type StandaloneOptions,
  standaloneArgs,
  startProcess,
  startStandalone,
} from '../support/nodeProcess.js';
import { PacketClient } from '../support/packetClient.js';
import { create } from '../support/requests.js';
import { until } from '../support/until.js';

const OPTIONS: StandaloneOptions = { disks: 2, partitions: 2 };
const LOAD_TIMEOUT = 'loadTimeoutMs=1000';

/** A node that was stopped, with a folder on its first disk that hangs whoever loads it; the path of the pipe. */
const first = await startStandalone(t, OPTIONS);
await first.process.terminate();
const bad = join(first.folder, 'disk1', 'datapartition_99_1073741824');
mkdirSync(bad);
const pipe = join(bad, 'META');
execFileSync('mkfifo', [pipe]);

t.test(
  'the others serve when lost partitions are allowed, and a late end of the hang changes nothing',
  async (t) => {
    const settings = [LOAD_TIMEOUT, 'allowLostPartitions=true'];
    const node = await restart(t, first, { ...OPTIONS, settings });
    const { process } = node;
    t.ok(
      process.logLines.some((line) =>
        /ERROR +disk cannot be served .*no partition of .*disk1 came up for 1000 ms/.test(line),
      ),
      process.stderr,
    );
    t.match(process.stderr, /disk path \S+disk1 error on \S+: out of service until a restart .*alarm=true/);
    t.ok(
      process.logLines.some((line) => /disk is being loaded .*disk1/.test(line)),
      'progress is logged',
    );
    const answer = (await (await fetch(`${node.httpUrl}/disks`)).json()) as {
      data: { disks: { path: string; status: number; partitions: number }[] };
    };
    t.match(answer.data.disks, [
      { status: -1, partitions: 0 },
      { status: 2, partitions: 1 },
    ]);
    const client = new PacketClient(node.port);
    t.equal((await client.ask(create(2))).resultCode, RESULT.ok, 'the other disk serves');
    t.not((await client.ask(create(1)).catch(() => null))?.resultCode, RESULT.ok);
    await client.end();
    closeSync(openSync(pipe, constants.O_WRONLY | constants.O_NONBLOCK));
    await until('the worker comes back', () =>
      process.logLines.some((line) => line.includes('loaded too late: it stays out of service')),
    );
    const { code } = await process.terminate();
    t.equal(code, 0);
  },
);

t.test(
  'without that the start ends, with the partitions that are missing, instead of waiting for ever',
  async (t) => {
    const masterPort = Number(new URL(first.masterUrl).port);
    const args = standaloneArgs(first.folder, {
      ...OPTIONS,
      port: first.port,
      masterPort,
      settings: [LOAD_TIMEOUT],
    });
    const node = startProcess(t, { args });
    const { code } = await node.ended();
    t.equal(code, 1);
    t.match(node.stderr, /LackPartitions \[1\]/);
  },
);
