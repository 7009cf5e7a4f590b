/**
 * Makes the minutes of raft's truncation pass sixty times as fast: preloaded into every thread of a node (`--import`). The exchange of applied indexes comes each second, and logs are cut from the beginning on, each second. Everything else
 * keeps its time.
 */
import { ExchangeSchedule } from '../../src/repair/appliedIds.js';
import { WorkerGroup } from '../../src/workers/raftGroup.js';

const FASTER = 60;

const { truncate } = WorkerGroup.prototype;
WorkerGroup.prototype.truncate = function (nowMs: number): boolean {
  return truncate.call(this, nowMs * FASTER);
};

const { add, next, ended } = ExchangeSchedule.prototype;
ExchangeSchedule.prototype.add = function (id: number, nowMs: number): void {
  add.call(this, id, nowMs * FASTER);
};
ExchangeSchedule.prototype.next = function (nowMs: number): number | null {
  return next.call(this, nowMs * FASTER);
};
ExchangeSchedule.prototype.ended = function (id: number, nowMs: number): void {
  ended.call(this, id, nowMs * FASTER);
};
