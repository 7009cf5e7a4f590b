/**
 * What the units of one extent may hold after random writes: the versions in the stamps of their content (`payload.ts`) that the last acknowledged write of each leaves possible. Pure; filled by the
 * plan and the connection that write, asked when everything is read back.
 *
 * One connection writes an extent and numbers its writes in the order of sending, so that the newest number sent is a clock. A write that was acknowledged takes away what had been acknowledged before
 * it was sent. Two that were in flight at once are not ordered: either may be what is there. One without an answer may have been carried out, at any time, or never.
 */

/** One content that a unit may have. */
interface Possible {
  readonly version: number;
  /** The newest version that had been sent when this one was acknowledged; Infinity while it is not. */
  ackedAt: number;
}

/** See the file comment. */
export class UnitVersions {
  readonly #unitBytes: number;
  /** By offset of the unit. What is not here holds version 0. */
  readonly #units = new Map<number, Possible[]>();
  #newest = 0;

  constructor(unitBytes: number) {
    this.#unitBytes = unitBytes;
  }

  /** The unit at `offset` is written anew; versions only grow. */
  sent(offset: number, version: number): void {
    this.#newest = version;
    const unit = this.#units.get(offset);
    const possible = { version, ackedAt: Number.POSITIVE_INFINITY };
    if (unit === undefined) this.#units.set(offset, [{ version: 0, ackedAt: 0 }, possible]);
    else unit.push(possible);
  }

  /** That write was answered with OK. */
  acknowledged(offset: number, version: number): void {
    const unit = this.#units.get(offset)!;
    let kept = 0;
    for (const possible of unit) {
      if (possible.version === version) possible.ackedAt = this.#newest;
      if (possible.ackedAt < version) continue;
      unit[kept] = possible;
      kept += 1;
    }
    unit.length = kept;
  }

  /**
   * The versions that the unit at `offset` may hold, in the order in which they were sent. `offset` need not be the begin of the unit.
   */
  possible(offset: number): readonly number[] {
    const unit = this.#units.get(offset - (offset % this.#unitBytes));
    return unit === undefined ? [0] : unit.map(({ version }) => version);
  }
}
