/** Starts the HTTP thread with a fake node behind it, for tests of the debug API. */
import type { Test } from 'tap';
import { UNLIMITED } from '../../src/config/diskLimits.js';
import { buildHeartbeat } from '../../src/control/heartbeat.js';
import type { Outcome } from '../../src/control/nodeView.js';
import type { ChecksumsApi, DiskChecksumsView, DiskLimitsView, LimitsApi } from '../../src/http/messages.js';
import { type HttpOptions, type HttpThread, type ServedNode, startHttp } from '../../src/http/startHttp.js';
import type { FakeView } from '../control/fakeView.js';
import type { ServerKind } from './servers.js';

/** A line that the thread logged: level, and what was given to it. */
export interface LogLine {
  level: 'info' | 'warn' | 'error';
  text: string;
}

/** A log that keeps its lines. */
export class FakeLog {
  readonly lines: LogLine[] = [];
  readonly info = this.#writer('info');
  readonly warn = this.#writer('warn');
  readonly error = this.#writer('error');

  #writer(level: LogLine['level']): HttpOptions['log']['info'] {
    return (...parts: unknown[]) => {
      this.lines.push({ level, text: parts.map((part) => text(part)).join(' ') });
    };
  }
}

function text(part: unknown): string {
  return typeof part === 'string' ? part : JSON.stringify(part);
}

/** Starts on a free port of `prof`, before the node serves. */
export async function startThread(
  test: Test,
  server: ServerKind,
  change: Partial<HttpOptions> = {},
): Promise<HttpThread> {
  const http = await startHttp({
    listeners: [{ address: '127.0.0.1', port: 0, prof: true, exporter: false }],
    server: server.choice,
    tls: null,
    access: [],
    faultInjection: false,
    readiness: () => ({ ready: true, reason: '' }),
    log: new FakeLog(),
    ...change,
  });
  test.teardown(() => http.close());
  return http;
}

/** Starts it with the pages of a node that serves. */
export async function startApi(
  test: Test,
  server: ServerKind,
  view: FakeView,
  change: Partial<HttpOptions & ServedNode> = {},
): Promise<HttpThread & { port: number }> {
  const http = await startThread(test, server, {
    faultInjection: change.setFault !== undefined,
    ...change,
  });
  http.open({
    nodeView: view,
    rack: () => 'rack-01',
    identity: { address: '127.0.0.1:17310', cluster: 'peer01', nodeId: 5 },
    limits: new FakeLimits(),
    checksums: new FakeChecksums(),
    repair: { view: async () => ({ ok: false, message: 'no repair in this test' }) },
    stats: () => buildHeartbeat(view.disks(), view.partitions(), { rack: 'rack-01', cell: '', zoneName: '' }),
    ...change,
  });
  return Object.assign(http, { port: http.prof! });
}

/** Two disks; knows one bad value. */
export class FakeLimits implements LimitsApi {
  readonly asked: unknown[] = [];
  view(): DiskLimitsView[] {
    const lane = { waiting: 3, running: 1, passedOps: 20, passedBytes: 4096 };
    const both = { read: lane, write: lane };
    return [{ path: '/d1', limits: UNLIMITED, waiting: 6, clients: both, background: both }];
  }
  async change(
    disk: string,
    changes: readonly (readonly [string, string])[],
  ): Promise<Outcome<DiskLimitsView[]>> {
    this.asked.push([disk, changes]);
    if (disk === '9') return { ok: false, message: 'disk: there is no disk "9"', httpStatus: 400 };
    return { ok: true, value: this.view() };
  }
}

/** One disk with one worker. */
export class FakeChecksums implements ChecksumsApi {
  readonly scrubbed: string[] = [];
  async view(): Promise<DiskChecksumsView[]> {
    return [{ path: '/d1', workers: [{ damagedBlocks: 2 }] }];
  }
  async scrub(disk: string): Promise<Outcome<DiskChecksumsView[]>> {
    this.scrubbed.push(disk);
    if (disk === '9') return { ok: false, message: 'disk: there is no disk "9"', httpStatus: 400 };
    return { ok: true, value: await this.view() };
  }
}
