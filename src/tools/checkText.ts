/**
 * The words and tables of `extentd check`. Pure: what was found in, text out.
 */
import type { NodeConfig } from '../config/config.js';
import type { DiskCheck } from './check.js';
import type { PartitionVerdict } from './loadTrial.js';
import { counted, printable, textTable } from './textTable.js';

/** Every field of the configuration as the node would use it. */
export function configText(path: string, config: NodeConfig): string {
  const rows = Object.entries(config)
    .filter(([name]) => name !== 'disks')
    .map(([name, value]) => [name, typeof value === 'string' ? value : JSON.stringify(value)]);
  return `config ${printable(path)}\n${textTable(['field', 'value'], rows)}\n`;
}

/** One disk, with an empty line behind it. */
export function diskText(disk: DiskCheck): string {
  const lines = [`disk ${disk.path}`];
  if (disk.mode !== null) {
    const denied = disk.denied.length === 0 ? '' : `; this user may not ${disk.denied.join(', ')}`;
    lines.push(`  mode ${disk.mode}, owner ${disk.owner}${denied}; ${disk.held ? 'IN USE' : 'not in use'}`);
  }
  if (disk.space !== null) {
    const { total, available, reserved } = disk.space;
    lines.push(`  ${available} of ${total} bytes available, ${reserved} reserved`);
  }
  if (disk.failure !== null) lines.push(`  NOT SERVED: ${disk.failure}`);
  for (const name of disk.leftovers) lines.push(`  the next start removes ${name}`);
  const rows = disk.partitions.map(({ folder, verdict, partition }) => [
    ...[folder, verdict === 'loaded' ? 'loaded' : 'REFUSED'],
    ...[partition?.volume ?? '-', partition?.extents ?? '-', partition?.usedBytes ?? '-'],
  ]);
  const table = textTable(['folder', 'verdict', 'volume', 'extents', 'used bytes'], rows);
  const notes = disk.partitions.flatMap(notesOn).map((line) => `  ${printable(line)}\n`);
  return `${lines.map((line) => `${printable(line)}\n`).join('')}${table}${notes.join('')}\n`;
}

/** Names of files that a line shows. */
const NAMES_SHOWN = 5;

function notesOn({ folder, reason, warnings, wouldCreate, wouldFill }: PartitionVerdict): string[] {
  const notes = warnings.map((warning) => `${folder}: ${warning}`);
  if (reason !== null) notes.unshift(`${folder} REFUSED: ${reason}`);
  if (wouldCreate.length > 0) {
    const names = wouldCreate.slice(0, NAMES_SHOWN).join(' ');
    const more = wouldCreate.length > NAMES_SHOWN ? ' ...' : '';
    notes.push(
      `${folder}: the start creates ${counted(wouldCreate.length, 'missing file')}: ${names}${more}`,
    );
  }
  if (wouldFill.length > 0) notes.push(`${folder}: the start fills up ${wouldFill.join(' ')}`);
  return notes;
}

/** The last lines. `folders`: partition folders that are refused or odd. */
export function verdictText(problems: readonly string[], folders: number, complete: boolean): string {
  const lines = problems.map((problem) => `PROBLEM: ${problem}`);
  if (folders > 0) lines.push(`PROBLEM: ${counted(folders, 'partition folder')} to look at`);
  if (!complete) lines.push('not to the end');
  else if (lines.length === 0) lines.push('fine: a start would serve all of this');
  return lines.map((line) => `${printable(line)}\n`).join('');
}
