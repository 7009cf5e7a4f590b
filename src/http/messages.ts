/**
 * What the HTTP thread and the main thread say to each other over their message port. Plain data; both sides of `src/http` import it.
 */

import type { HttpServerChoice } from '../config/config.js';
import type { Limits } from '../config/diskLimits.js';
import type { Outcome } from '../control/nodeView.js';
import type { RepairView } from '../repair/messages.js';
import type { HttpListener } from './listeners.js';
import type { MetricsSource } from './metricsSource.js';
import type { RefusalReport } from './refusals.js';
import type { TlsFileNames } from './tlsFiles.js';

/** What the HTTP thread wants to know. */
export type Question = StartQuestion | NodeQuestion;

/** Answered from the beginning of a start. */
export type StartQuestion = { kind: 'readiness' } | { kind: 'setLogLevel'; level: string };

/** Answered once the node serves. Ids are -1 where the request named something that cannot exist. */
export type NodeQuestion =
  | { kind: 'disks' | 'partitions' | 'stats' | 'overview' | 'volumes' }
  | { kind: 'raftStatus'; raftIdText: string }
  | { kind: 'partition'; partitionId: number }
  | { kind: 'extent' | 'block'; partitionId: number; extentId: number; extentText: string }
  | { kind: 'fault'; fault: FaultRequest }
  | { kind: 'limits' | 'checksums' }
  /** Null: all partitions. */
  | { kind: 'repair'; partitionId: number | null }
  | { kind: 'scrub'; disk: string }
  | { kind: 'setLimits'; disk: string; changes: [name: string, text: string][] };

/** The answer: HTTP status, and `data` as JSON text (200) or a message. */
export interface Answer {
  status: number;
  dataJson: string;
  message: string;
}

/** A fault to inject into the I/O of one disk, for tests. `disk` is its index in the configuration. */
export interface FaultRequest {
  disk: number;
  kind: 'hang' | 'delay' | 'errno' | 'short' | 'clear';
  /** delay: ms; errno: its number; short: bytes. */
  value: number;
  /** Operation codes of the addon; empty: all. */
  codes: number[];
  /** Operations affected; 0: no end. */
  count: number;
}

/** What one class has done of one kind on one disk, and what of it waits for a limit. */
export interface LaneView {
  waiting: number;
  running: number;
  /** Since the start, while the kind was limited. */
  passedOps: number;
  passedBytes: number;
}

/** A disk in `/limits`. */
export interface DiskLimitsView {
  path: string;
  limits: Limits;
  /** Requests that wait, those included that stand behind a limited one of their connection or extent. */
  waiting: number;
  clients: { read: LaneView; write: LaneView };
  background: { read: LaneView; write: LaneView };
}

/** What the debug API does with limits. */
export interface LimitsApi {
  view(): DiskLimitsView[];
  /** `disk`: path or index, empty for all. A bad value is an outcome with status 400. */
  change(
    disk: string,
    changes: readonly (readonly [name: string, text: string])[],
  ): Promise<Outcome<DiskLimitsView[]>>;
}

/** A disk in `/checksums`: of each of its workers a report (`ChecksumReport` in `src/partition/messages.ts`), or why there is none. */
export interface DiskChecksumsView {
  path: string;
  workers: (object | { error: string })[];
}

/** What the debug API does with checksums. */
export interface ChecksumsApi {
  view(): Promise<DiskChecksumsView[]>;
  /** Begins a scrub. `disk`: path or index, empty for all; an unknown one is an outcome with status 400. */
  scrub(disk: string): Promise<Outcome<DiskChecksumsView[]>>;
}

/** What the debug API does with repair: a view of one partition, or of all. */
export interface RepairApi {
  view(partitionId: number | null): Promise<Outcome<RepairView>>;
}

/** Whether the node serves, for `/readyz`; `reason`: what it waits for, empty when it is ready. */
export interface Readiness {
  ready: boolean;
  reason: string;
}

/** What the thread is started with. */
export interface ThreadOptions {
  listeners: HttpListener[];
  server: HttpServerChoice;
  /** Null: plain HTTP. */
  tls: TlsFileNames | null;
  /** Entries of `access.admin`; none: everybody. */
  access: readonly string[];
  faultInjection: boolean;
  /** Offers `/loglevel/set`. */
  logLevel: boolean;
  /** How long a question may wait for its answer, ms. */
  answerTimeoutMs: number;
  /** One 32-bit word: 1 once the thread has nothing open any more. */
  stopped: SharedArrayBuffer;
}

/** What came of one entry of `ThreadOptions.listeners`: its port, or why there is none. */
export type ListenerResult = { ok: true; port: number } | { ok: false; message: string };

export type ThreadMessage =
  | {
      type: 'listening';
      /** In the order of the listeners. */
      results: ListenerResult[];
      /** `uWebSockets.js`: the thread must not be terminated. */
      server: 'uWebSockets.js' | 'node:http';
      /** Why it is node:http although the other was tried; empty otherwise. */
      fallback: string;
    }
  | { type: 'failed'; message: string }
  | { type: 'question'; id: number; question: Question }
  | { type: 'refused'; report: RefusalReport }
  /** In the order of the messages `tls`. */
  | { type: 'tlsDone'; outcome: Outcome<null> };

export type MainMessage =
  | { type: 'answer'; id: number; answer: Answer }
  /** The node serves: so do the pages that show it. `metrics`: what `/metrics` is made of; null: the exporter is off. */
  | { type: 'open'; metrics: MetricsSource | null }
  | { type: 'access'; entries: readonly string[] }
  /** Looks whether these files can be used, and with `use` serves new connections with them. */
  | { type: 'tls'; names: TlsFileNames; use: boolean }
  | { type: 'close'; timeoutMs: number }
  /** The process is ending: close everything at once and say so in `stopped`. */
  | { type: 'cut' };

/** Questions under way at one time; more are answered 503. Bounds what HTTP clients can make the main thread do. */
export const QUESTIONS_MAX = 64;

/** Longest answer, bytes of JSON. */
export const ANSWER_BYTES_MAX = 32 * 1024 * 1024;

/** An answer that says no. */
export function failure(status: number, message: string): Answer {
  return { status, dataJson: 'null', message };
}
