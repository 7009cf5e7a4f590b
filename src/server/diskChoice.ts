/**
 * Which disks a request of an operator means: one, named by its path or by its index in the configuration, or all of them.
 */

/** Indexes of the disks that `text` names among `disks`; the empty text names all. None when there is no such disk. */
export function chooseDisks(disks: readonly { path: string }[], text: string): number[] {
  const all = [...disks.keys()];
  if (text === '') return all;
  const byPath = all.filter((disk) => disks[disk]!.path === text);
  return byPath.length > 0 ? byPath : all.filter((disk) => String(disk) === text);
}

/** What is answered when there is none. */
export function noSuchDisk(text: string): string {
  return `disk: there is no disk ${JSON.stringify(text.slice(0, 200))}`;
}
