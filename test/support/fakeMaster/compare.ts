/** How the master compares what the replicas of a partition have loaded (`admin.md` 14.4). It warns and orders nothing. */

export interface LoadedFile {
  Name: string;
  Crc: number;
  Size: number;
  Modified: number;
}

/** Crc of a file that was never written, which skips the extent as 0 does. */
const EMPTY_CRC = 4_045_511_210;
const QUIET_SECONDS = 1_200;
const MISSING_AFTER_SECONDS = 600;
const TINY_LAST = 64;

export interface Comparison {
  /** Extents whose Crc differs: the name and the addresses in the minority. */
  differing: { name: string; minority: string[] }[];
  /** Normal extents that a replica lacks, last changed long enough ago; an alarm if a later load still finds it so. */
  missing: { name: string; addr: string }[];
  /** Extents whose Crc was compared. */
  compared: string[];
}

/** Compares the lists of all replicas, by address, at `nowSeconds`. */
export function compareLoads(
  loads: ReadonlyMap<string, readonly LoadedFile[]>,
  nowSeconds: number,
): Comparison {
  const result: Comparison = { differing: [], missing: [], compared: [] };
  const names = new Set([...loads.values()].flat().map(({ Name }) => Name));
  for (const name of names) {
    const found = [...loads].map(([addr, files]) => ({
      addr,
      file: files.find(({ Name }) => Name === name),
    }));
    const newest = Math.max(...found.map(({ file }) => file?.Modified ?? 0));
    if (Number(name) > TINY_LAST && nowSeconds - newest > MISSING_AFTER_SECONDS)
      for (const { addr, file } of found) if (file === undefined) result.missing.push({ name, addr });
    const crcs = found.flatMap(({ addr, file }) => (file === undefined ? [] : [{ addr, crc: file.Crc }]));
    const skips = crcs.some(({ crc }) => crc === 0 || crc === EMPTY_CRC);
    if (skips || nowSeconds - newest <= QUIET_SECONDS) continue;
    result.compared.push(name);
    const counts = new Map<number, number>();
    for (const { crc } of crcs) counts.set(crc, (counts.get(crc) ?? 0) + 1);
    if (counts.size < 2) continue;
    const most = [...counts].sort((a, b) => b[1] - a[1])[0]![0];
    result.differing.push({ name, minority: crcs.filter(({ crc }) => crc !== most).map(({ addr }) => addr) });
  }
  return result;
}
