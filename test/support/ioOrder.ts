/**
 * Judges a record of I/O (`native.takeIoRecord`): whether everything an acknowledgement promises was durable before it. Pure.
 *
 * The record has one line an operation in the order in which they returned, and marks that the test puts into it:
 * `base N` when the id base N is about to be written to EXTENT_META, `ack create ID` and `ack sync ID OFFSET BYTES` when a reply is about to be sent.
 */
import { basename, dirname } from 'node:path';

interface Line {
  code: string;
  fd: number;
  offset: number;
  length: number;
  result: number;
  text: string;
}

interface File {
  path: string;
  /** Ranges written and not yet covered by an fdatasync. */
  dirty: { from: number; to: number }[];
  /** Ranges that were written and are durable. */
  durable: { from: number; to: number }[];
}

/** Splits one line of the record. */
function parse(line: string): Line {
  const [code = '', fd, offset, length, result, ...rest] = line.split(' ');
  const text = rest.join(' ');
  return {
    code,
    fd: Number(fd),
    offset: Number(offset),
    length: Number(length),
    result: Number(result),
    text,
  };
}

/** What the record shows; `violations` is empty when every acknowledgement was honest. */
export interface OrderVerdict {
  violations: string[];
  syncAcks: number;
  createAcks: number;
}

/** `createsDurable`: an acknowledged create promises its entry in the folder. */
export function judgeIoOrder(record: readonly string[], createsDurable = false): OrderVerdict {
  const judge = new Judge(createsDurable);
  for (const line of record) judge.take(parse(line));
  return judge.verdict;
}

class Judge {
  readonly verdict: OrderVerdict = { violations: [], syncAcks: 0, createAcks: 0 };
  readonly #files = new Map<number, File>();
  /** Extent files that were made and whose folder was not fsynced since, by path. */
  readonly #unsyncedNames = new Set<string>();
  /** Id base: announced, written, durable. */
  #announcedBase = 0;
  #writtenBase = 0;
  #durableBase = 0;
  readonly #createsDurable: boolean;

  constructor(createsDurable: boolean) {
    this.#createsDurable = createsDurable;
  }

  take(line: Line): void {
    if (line.code === 'mark') this.#mark(line.text.split(' '));
    else if (line.result >= 0) this.#operation(line);
  }

  #operation({ code, fd, offset, length, result, text }: Line): void {
    if (code === 'open') return this.#opened(result, text);
    if (code === 'fsyncFolder') {
      for (const path of this.#unsyncedNames) if (dirname(path) === text) this.#unsyncedNames.delete(path);
      return;
    }
    const file = this.#files.get(fd);
    if (file === undefined) return;
    if (code === 'pwrite') {
      file.dirty.push({ from: offset, to: offset + length });
      if (isMeta(file)) this.#writtenBase = this.#announcedBase;
    } else if (code === 'fdatasync' || code === 'fsync') {
      file.durable.push(...file.dirty.splice(0));
      if (isMeta(file)) this.#durableBase = this.#writtenBase;
    } else if (code === 'close') {
      this.#files.delete(fd);
    }
  }

  #opened(fd: number, path: string): void {
    const known = [...this.#files.values()].some((file) => file.path === path);
    this.#files.set(fd, { path, dirty: [], durable: [] });
    const id = Number(basename(path));
    if (!(id > 1024) || known) return;
    this.#unsyncedNames.add(path);
    if (this.#durableBase < id) {
      this.verdict.violations.push(
        `the file of extent ${id} was made with a durable base of ${this.#durableBase}`,
      );
    }
  }

  #mark([kind, what, ...numbers]: string[]): void {
    if (kind === 'base') this.#announcedBase = Number(what);
    else if (what === 'create') this.#ackCreate(Number(numbers[0]));
    else this.#ackSync(Number(numbers[0]), Number(numbers[1]), Number(numbers[2]));
  }

  #ackCreate(id: number): void {
    this.verdict.createAcks++;
    if (this.#durableBase < id) {
      this.verdict.violations.push(
        `create of ${id} acknowledged with a durable base of ${this.#durableBase}`,
      );
    }
    const unsynced = [...this.#unsyncedNames].some((path) => basename(path) === String(id));
    if (this.#createsDurable && unsynced) {
      this.verdict.violations.push(`create of ${id} acknowledged before its folder was fsynced`);
    }
  }

  #ackSync(id: number, offset: number, bytes: number): void {
    this.verdict.syncAcks++;
    const name = `sync write of extent ${id} at ${offset}`;
    const files = [...this.#files.values()].filter((file) => basename(file.path) === String(id));
    const covered = (from: number): number => {
      const hit = files
        .flatMap(({ durable }) => durable)
        .find((range) => range.from <= from && from < range.to);
      return hit === undefined ? from : hit.to;
    };
    let at = offset;
    for (let next = covered(at); next > at && at < offset + bytes; next = covered(at)) at = next;
    if (at < offset + bytes)
      this.verdict.violations.push(`${name} acknowledged with bytes from ${at} not durable`);
    if (files.some(({ path }) => this.#unsyncedNames.has(path))) {
      this.verdict.violations.push(`${name} acknowledged before its folder was fsynced`);
    }
  }
}

function isMeta({ path }: File): boolean {
  return basename(path) === 'EXTENT_META';
}
