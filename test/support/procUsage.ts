/** What Linux says of a process: memory, system calls of the read and write class, sleeps, threads, open files. For tests that bound a node's costs. */
import { readdirSync, readFileSync } from 'node:fs';

export interface ProcUsage {
  /** Resident memory, bytes. */
  rssBytes: number;
  /** The most that it ever was. */
  rssPeakBytes: number;
  /** The part of it that is neither a file's nor shared memory, bytes: heap, stacks, buffers. */
  anonymousBytes: number;
  /** read, pread, recv and their kin; write, pwrite, send and theirs; of all threads since the start. */
  readCalls: number;
  writeCalls: number;
  openFiles: number;
  threads: number;
  /** Times that a thread of the process went to sleep, all threads that live now. */
  sleeps: number;
}

/** Reads /proc of `pid`; throws when the process is gone. */
export function procUsage(pid: number): ProcUsage {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const io = readFileSync(`/proc/${pid}/io`, 'utf8');
  return {
    rssBytes: field(status, 'VmRSS') * 1024,
    rssPeakBytes: field(status, 'VmHWM') * 1024,
    anonymousBytes: field(status, 'RssAnon') * 1024,
    readCalls: field(io, 'syscr'),
    writeCalls: field(io, 'syscw'),
    openFiles: readdirSync(`/proc/${pid}/fd`).length,
    threads: field(status, 'Threads'),
    sleeps: sleepsOf(pid),
  };
}

function sleepsOf(pid: number): number {
  let sleeps = 0;
  for (const tid of readdirSync(`/proc/${pid}/task`)) {
    try {
      sleeps += field(readFileSync(`/proc/${pid}/task/${tid}/status`, 'utf8'), 'voluntary_ctxt_switches');
    } catch {
      // The thread has ended meanwhile.
    }
  }
  return sleeps;
}

function field(text: string, name: string): number {
  const match = new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(text);
  if (match === null) throw new Error(`no ${name} in /proc`);
  return Number(match[1]);
}
