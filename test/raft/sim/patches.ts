/**
 * Production code made wrong for the time of one run: methods and getters put in place of others, and put back afterwards.
 *
 * Nothing but planted bugs may use it. What was planted acts on every node of the run; functions of modules cannot be reached, only what objects and prototypes hold.
 */
import assert from 'node:assert';
import { GroupState } from '../../../src/raft/groupState.js';
import type { RaftLog } from '../../../src/raft/log.js';

/** A core as far as its state is found by it. */
interface CoreOfLog {
  readonly log: RaftLog;
}

/** Finds the state that a core keeps to itself. */
export type StateOf = (core: CoreOfLog) => GroupState;

export class Patches {
  private readonly undo: (() => void)[] = [];

  /** Puts another method in place of the one that `of` has; `make` gets that one. */
  method<T extends object, K extends keyof T>(of: T, name: K, make: (original: T[K]) => T[K]): void {
    this.replace(of, name, { value: make(of[name]) });
  }

  /** The same for a getter of a prototype. `make` gets a function that asks the one that was there. */
  getter<T extends object, K extends keyof T>(
    of: T,
    name: K,
    make: (original: (self: T) => T[K]) => (self: T) => T[K],
  ): void {
    const { get } = this.found(of, name);
    assert(get !== undefined, `${String(name)} is a getter`);
    const replacement = make((self) => get.call(self));
    this.replace(of, name, {
      get(this: T) {
        return replacement(this);
      },
    });
  }

  /** Keeps the state of each core that is made from now on, before its first step. `made` may change it. */
  watchStates(made: (state: GroupState) => void = () => undefined): StateOf {
    const states = new WeakMap<RaftLog, GroupState>();
    this.method(GroupState.prototype, 'setMembers', (original) => {
      return function (this: GroupState, peers) {
        if (!states.has(this.log)) made(this);
        states.set(this.log, this);
        original.call(this, peers);
      };
    });
    return ({ log }) => states.get(log)!;
  }

  /** Puts everything back. */
  restore(): void {
    while (this.undo.length > 0) this.undo.pop()!();
  }

  private found(of: object, name: PropertyKey): PropertyDescriptor {
    const found = Object.getOwnPropertyDescriptor(of, name);
    assert(found !== undefined, `${String(name)} is there to be replaced`);
    return found;
  }

  private replace(of: object, name: PropertyKey, replacement: PropertyDescriptor): void {
    const found = this.found(of, name);
    Object.defineProperty(of, name, { ...found, ...replacement });
    this.undo.push(() => Object.defineProperty(of, name, found));
  }
}
