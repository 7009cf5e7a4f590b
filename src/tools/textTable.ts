/**
 * Tables for people: columns padded with blanks, numbers to the right. Used by the tools only.
 */

/** Lines of a table, indented by two blanks. Cells that are numbers, or `-`, are set to the right. No line when there are no rows. */
export function textTable(
  header: readonly string[],
  rows: readonly (readonly (string | number)[])[],
): string {
  if (rows.length === 0) return '';
  const lines = [header, ...rows].map((row) => row.map((cell) => printable(String(cell))));
  const widths = header.map((_, column) =>
    lines.reduce((width, line) => Math.max(width, line[column]?.length ?? 0), 0),
  );
  const right = header.map((_, column) =>
    rows.every((row) => typeof row[column] === 'number' || /^(\d+|-)$/.test(String(row[column]))),
  );
  return lines
    .map((line) => {
      const cells = line.map((cell, column) =>
        right[column] ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0),
      );
      return `  ${cells.join('  ').trimEnd()}\n`;
    })
    .join('');
}

/** Names and messages come from a disk: control characters must not reach a terminal. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Zl}\p{Zp}]/gu, '?');
}

/** `1 extent`, `2 extents`. */
export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}
