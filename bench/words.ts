/**
 * Numbers as people read them, for tables and pages.
 */

/** Milliseconds with three significant digits: `0.612`, `4.94`, `55.3`, `1,204`. */
export function milliseconds(value: number): string {
  if (value === 0) return '0';
  if (value >= 100) return whole(value);
  return value.toFixed(value >= 10 ? 1 : value >= 1 ? 2 : 3);
}

/** Thousands separated: `98,123`. */
export function whole(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}

/** A rate: whole from 100 on, one decimal below. */
export function rate(value: number): string {
  return value >= 100 || value === 0 ? whole(value) : value.toFixed(1);
}

/** Bytes in binary units, as sizes are typed: `4 KiB`, `128 KiB`, `1.5 GiB`. */
export function bytes(value: number): string {
  const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB'];
  let scaled = value;
  let unit = 0;
  while (scaled >= 1024 && unit < units.length - 1) {
    scaled /= 1024;
    unit++;
  }
  return `${Number.isInteger(scaled) || scaled >= 100 ? Math.round(scaled) : scaled.toFixed(1)} ${units[unit]}`;
}

/** Resident memory: `124 MB`, decimal as the design's figures. */
export function megabytes(value: number): string {
  return `${Math.round(value / 1e6)} MB`;
}

/** `1 error`, `2 errors`. */
export function counted(count: number, noun: string): string {
  return `${whole(count)} ${noun}${count === 1 ? '' : 's'}`;
}

/** A table with aligned columns: the first to the left, the others to the right. The first row is the head. */
export function alignTable(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((row) => (row[column] ?? '').length)),
  );
  return rows.map((row) =>
    row
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!)))
      .join('  ')
      .trimEnd(),
  );
}
