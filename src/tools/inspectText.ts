/**
 * The words and tables of `extentd inspect`. Pure: a report in, text out.
 */
import type { CleanReport } from './cleanReport.js';
import type { NormalDeleteReport, TinyDeleteReport } from './deleteRecords.js';
import type { ToolTarget } from './folders.js';
import type { ExtentReport, PartitionReport } from './partitionReport.js';
import type { RaftLogReport } from './raftLog.js';
import { counted, printable, textTable } from './textTable.js';

/** The lines above the partitions. */
export function targetText(target: ToolTarget): string {
  if (target.kind === 'partition') return '';
  const lines = [`disk ${printable(target.path)}: ${counted(target.partitions.length, 'partition folder')}`];
  for (const name of target.leftovers) lines.push(`  waits for removal: ${printable(name)}`);
  for (const name of target.others) lines.push(`  not looked at by a node: ${printable(name)}`);
  return `${lines.join('\n')}\n\n`;
}

/** One partition, with an empty line behind it. */
export function partitionText(report: PartitionReport): string {
  const parts = [
    `partition folder ${printable(report.path)}\n`,
    metaText(report),
    extentsText(report.extents),
    tinyDeletesText(report.tinyDeletes),
    normalDeletesText(report.normalDeletes),
    report.raft === null ? 'raft log: none\n' : raftText(report.raft),
  ];
  for (const { name, kind, sizeBytes } of report.others)
    parts.push(`other entry: ${printable(name)} (${kind}, ${sizeBytes} bytes)\n`);
  for (const problem of report.problems) parts.push(`PROBLEM: ${printable(problem)}\n`);
  return `${parts.join('')}\n`;
}

function metaText({ meta, apply, extentMeta, extentCrc, extentClean }: PartitionReport): string {
  const lines: string[] = [];
  if (meta !== null) {
    const { partitionId, volume, sizeBytes, createTime, createType, lastTruncateId } = meta;
    lines.push(`META: partition ${partitionId} of volume ${volume}, ${sizeBytes} bytes, saved ${createTime}`);
    lines.push(`  create type ${createType}, log truncated to ${lastTruncateId}`);
    lines.push(`  hosts: ${meta.hosts.join(' ') || 'none'}`);
    lines.push(`  peers: ${meta.peers.map(({ id, addr }) => `${id}=${addr}`).join(' ') || 'none'}`);
  }
  lines.push(`APPLY: ${apply.index}${apply.problem === null ? '' : ` (${apply.problem})`}`);
  const { bytes, base, mark, problem } = extentMeta;
  const wrong = problem === null ? '' : ` (${bytes} bytes: ${problem})`;
  lines.push(`EXTENT_META: base ${base}, mark ${mark}${wrong}`);
  lines.push(`EXTENT_CRC: ${extentCrc.bytes} bytes, ${extentCrc.allocatedBytes} on disk`);
  lines.push(`EXTENT_CLEAN: ${cleanText(extentClean)}`);
  return lines.map((line) => `${printable(line)}\n`).join('');
}

function cleanText({ state, ownFrom, clean, damaged, broken }: CleanReport): string {
  if (state !== 'valid')
    return state === 'none' ? 'none' : 'void: a Go node has had the folder, or it is torn';
  return `own extents from ${ownFrom}; ${clean} clean, ${damaged} damaged, ${broken} broken`;
}

function extentsText(extents: readonly ExtentReport[]): string {
  const empty = extents.filter(({ kind, sizeBytes }) => kind === 'tiny' && sizeBytes === 0).length;
  const shown = extents.filter(({ kind, sizeBytes }) => kind === 'normal' || sizeBytes > 0);
  const bytes = extents.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  const head = `extents: ${extents.length}, ${bytes} bytes; ${counted(empty, 'empty tiny one')} not listed\n`;
  const rows = shown.map((extent) => [
    ...[extent.id, extent.kind, extent.sizeBytes, extent.allocatedBytes, extent.modified],
    extent.problem ?? detailOf(extent),
  ]);
  return (
    head + textTable(['id', 'kind', 'bytes', 'on disk', 'modified', 'checksums, or ranges of data'], rows)
  );
}

/** Ranges a line shows; JSON has more. */
const RANGES_SHOWN = 4;

function detailOf({ slots, segments = [] }: ExtentReport): string {
  if (slots === undefined) {
    const data = segments.filter(({ kind }) => kind === 'data');
    const ranges = data.slice(0, RANGES_SHOWN).map(({ offset, bytes }) => `${offset}+${bytes}`);
    const more = data.length > RANGES_SHOWN ? ` and ${data.length - RANGES_SHOWN} more` : '';
    return data.length === 0 ? 'all hole' : `${ranges.join(' ')}${more}`;
  }
  const beyond = slots.beyondEnd === 0 ? '' : `, ${slots.beyondEnd} behind the end`;
  return `${slots.known} of ${counted(slots.blocks, 'block')}${beyond}, ${slots.state}`;
}

function tinyDeletesText(report: TinyDeleteReport): string {
  const { bytes, slots, zeroSlots, foreignSlots, tailBytes, problem } = report;
  const notes = [`${bytes} bytes, ${counted(slots, 'slot')}, ${zeroSlots} empty`];
  if (foreignSlots > 0) notes.push(`${foreignSlots} that name no tiny extent`);
  if (tailBytes > 0) notes.push(`MISALIGNED: ${counted(tailBytes, 'byte')} behind the last slot`);
  if (problem !== null) notes.push(problem);
  const rows = report.records.map(({ at, extentId, offset, sizeBytes }) => [at, extentId, offset, sizeBytes]);
  const table = textTable(['slot at', 'extent', 'offset', 'bytes'], rows);
  const more = report.recordsLeftOut > 0 ? `  and ${report.recordsLeftOut} more\n` : '';
  return `TINYEXTENT_DELETE: ${notes.join(', ')}\n${table}${more}`;
}

function normalDeletesText(report: NormalDeleteReport): string {
  const { bytes, records, tailBytes, present, problem } = report;
  const notes = [`${bytes} bytes, ${counted(records, 'record')}`];
  if (tailBytes > 0) notes.push(`MISALIGNED: ${counted(tailBytes, 'byte')} behind the last record`);
  if (present.length > 0) notes.push(`with a file all the same: ${present.join(' ')}`);
  if (problem !== null) notes.push(problem);
  const more = report.idsLeftOut > 0 ? ` and ${report.idsLeftOut} more` : '';
  const ids = report.ids.length === 0 ? '' : `  ids ${report.ids.join(' ')}${more}\n`;
  return `NORMALEXTENT_DELETE: ${notes.join(', ')}\n${ids}`;
}

function raftText(raft: RaftLogReport): string {
  const { term, commit, vote } = raft.hardState;
  const { truncated } = raft;
  const lines = [
    `raft log ${raft.folder}: entries ${raft.firstIndex} to ${raft.lastIndex}`,
    `  hard state: term ${term}, commit ${commit}, vote ${vote}; truncated to ${truncated.index} of term ${truncated.term}`,
  ];
  for (const name of raft.others) lines.push(`  other entry: ${name}`);
  for (const problem of raft.problems) lines.push(`  PROBLEM: ${problem}`);
  const rows = raft.files.map((file) => [
    ...[file.name, file.sizeBytes, file.sealed ? 'sealed' : 'active', file.entries],
    ...[file.firstIndex ?? '-', file.lastIndex ?? '-', file.lastTerm ?? '-', file.problem ?? ''],
  ]);
  const header = ['file', 'bytes', 'state', 'entries', 'first', 'last', 'term', ''];
  return lines.map((line) => `${printable(line)}\n`).join('') + textTable(header, rows);
}
