/** Votes on blocks, against a dumb twin; which blocks and extents are looked at. */
import fc from 'fast-check';
import t from 'tap';
import type { ExtentInfo } from '../../src/protocol/extentInfo.js';
import {
  type Ballot,
  blocksToLookAt,
  type Copy,
  differingExtents,
  voteOnBlock,
} from '../../src/repair/heal.js';
import { BLOCK_BYTES } from '../../src/storage/layout.js';

/** `a5`: content a at applied id 5; `a?`: id not known; `a5>6`: it moved; `-`: no content. */
function copy(host: string, text: string): Copy {
  const match = /^([a-z-])(\?|\d+)?(?:>(\d+))?$/.exec(text)!;
  const id = match[2] === undefined || match[2] === '?' ? null : Number(match[2]);
  const letter = match[1]!;
  const content = letter === '-' ? null : { crc: letter.charCodeAt(0), bytes: 100 };
  const why = content === null ? 'EOF' : '';
  return {
    host,
    content,
    why,
    appliedBefore: id,
    appliedAfter: match[3] === undefined ? id : Number(match[3]),
  };
}

function ballot(
  own: string,
  peers: string[],
  stored = '',
  storedIsSure = true,
  hosts = peers.length + 1,
): Ballot {
  const at = stored === '' ? 0 : stored.charCodeAt(0);
  return {
    ...{ hosts, own: copy('own', own), stored: at, storedIsSure },
    peers: peers.map((text, i) => copy(`p${i}`, text)),
  };
}

t.test('what votes come to', async (t) => {
  const cases: [name: string, ballot: Ballot, kind: string][] = [
    ['all are equal', ballot('a5', ['a5', 'a5'], 'a'), 'sound'],
    ['one of the others is damaged', ballot('a5', ['b5', 'a5'], 'a'), 'sound'],
    ['equal copies agree, whatever was applied', ballot('a?', ['a7', 'a5>6']), 'sound'],
    ['two against one, at one id', ballot('a5', ['b5', 'b5'], 'a'), 'heal'],
    ['two against one, and the own checksum fits: bytes win', ballot('a5', ['b5', 'b5'], 'a'), 'heal'],
    ['the own checksum says that the own bytes are damaged', ballot('a?', ['b?', 'b?'], 'b'), 'heal'],
    ['so it does where it is not sure, but is theirs', ballot('a?', ['b?', 'b?'], 'b', false), 'heal'],
    ['a checksum that is neither, and not sure', ballot('a?', ['b?', 'b?'], 'c', false), 'noVerdict'],
    [
      'nobody knows an id, and nothing speaks against the own bytes',
      ballot('a?', ['b?', 'b?'], 'a'),
      'noVerdict',
    ],
    ['no stored checksum, no ids', ballot('a?', ['b?', 'b?']), 'noVerdict'],
    ['two that lag behind do not win', ballot('a6', ['b5', 'b5'], 'a'), 'later'],
    ['not even over damage', ballot('a6', ['b5', 'b5'], 'b'), 'later'],
    ['one of the majority lags', ballot('a6', ['b6', 'b5'], 'a'), 'later'],
    ['somebody writes here', ballot('a5>6', ['b5', 'b5'], 'b'), 'later'],
    ['somebody writes there', ballot('a5', ['b5', 'b5>6'], 'a'), 'later'],
    ['three contents', ballot('a5', ['b5', 'c5'], 'a'), 'noVerdict'],
    ['one of three is absent', ballot('a5', ['b5', '-']), 'noVerdict'],
    ['the own copy and one are equal, the third is absent', ballot('a5', ['a5', '-']), 'sound'],
    ['two hosts never outvote each other', ballot('a5', ['b5'], 'b'), 'noVerdict'],
    ['half of four is no majority', ballot('a5', ['b5', 'b5', 'c5'], 'b'), 'noVerdict'],
    ['a host that was not asked counts', ballot('a5', ['b5', 'b5'], 'b', true, 4), 'noVerdict'],
    ['this replica cannot be read', ballot('-', ['b5', 'b5'], 'b'), 'noVerdict'],
    ['alone', ballot('a5', [], 'b'), 'sound'],
  ];
  for (const [name, each, kind] of cases) t.equal(voteOnBlock(each).kind, kind, name);
  t.match(voteOnBlock(ballot('a5', ['b5', 'b5'], 'a')), { crc: 98, bytes: 100, holders: ['p0', 'p1'] });
  t.match(voteOnBlock(ballot('a5', ['a5', 'b5'], 'b')), { kind: 'sound', slotIsWrong: true });
  t.match(voteOnBlock(ballot('a5', ['a5', 'b5'])), { kind: 'sound', slotIsWrong: false });
  t.match(voteOnBlock(ballot('a5', ['b5', '-'])), {
    reason: 'no content has a majority of 3 hosts: own: 00000061; p0: 00000062; p1: EOF',
  });
  t.match(voteOnBlock(ballot('a6', ['b5', 'b5>7'])), { reason: /own 6, p0 5, p1 5 moving$/ });
});

t.test('a content of another length is another content', async (t) => {
  const [own, first, second] = ['a5', 'a5', 'a5'].map((text, i) => copy(`h${i}`, text));
  const shorter = { ...first!, content: { crc: 97, bytes: 99 } };
  const vote = voteOnBlock({
    ...{ hosts: 3, own: own!, stored: 0, storedIsSure: false },
    peers: [shorter, { ...second!, content: { crc: 97, bytes: 99 } }],
  });
  t.match(vote, { kind: 'heal', bytes: 99 });
});

/** As the page has it, in the plainest words: which hosts hold a content, and what may count. */
function twin({ hosts, own, peers, stored, storedIsSure }: Ballot): string {
  if (own.content === null) return 'noVerdict';
  const count = (crc: number, of: readonly Copy[]): number =>
    of.filter(({ content }) => content?.crc === crc).length;
  if (count(own.content.crc, [own, ...peers]) > hosts / 2) return 'sound';
  const crcs = [...new Set(peers.flatMap(({ content }) => (content === null ? [] : [content.crc])))];
  const winner = crcs.find((crc) => count(crc, peers) > hosts / 2);
  if (winner === undefined) return 'noVerdict';
  const still = ({ appliedBefore, appliedAfter }: Copy): boolean =>
    appliedBefore === null || appliedAfter === null || appliedBefore === appliedAfter;
  if (!still(own)) return 'later';
  const known = (each: Copy): boolean => each.appliedBefore !== null && each.appliedAfter !== null;
  const clash = (peer: Copy): boolean =>
    !still(peer) || (known(peer) && known(own) && peer.appliedBefore !== own.appliedBefore);
  const damaged = stored !== 0 && stored !== own.content.crc && (storedIsSure || stored === winner);
  const voters = peers.filter((peer) => !clash(peer) && (damaged || (known(peer) && known(own))));
  if (count(winner, voters) > hosts / 2) return 'heal';
  return peers.some(clash) ? 'later' : 'noVerdict';
}

t.test('the vote is the twin’s', async (t) => {
  const id = fc.option(fc.constantFrom(5, 6), { nil: null });
  const anyCopy = fc.tuple(fc.constantFrom('a', 'b', 'c', '-'), id, id).map(
    ([letter, before, after]): Copy => ({
      ...copy('h', letter),
      appliedBefore: before,
      appliedAfter: after,
    }),
  );
  const check = (): void =>
    fc.assert(
      fc.property(
        anyCopy,
        fc.array(anyCopy, { maxLength: 4 }),
        fc.constantFrom(0, 97, 98, 99),
        fc.boolean(),
        fc.nat(2),
        (own, others, stored, storedIsSure, silent) => {
          const peers = others.map((each, i) => ({ ...each, host: `p${i}` }));
          const each = { hosts: peers.length + 1 + silent, own, peers, stored, storedIsSure };
          const verdict = voteOnBlock(each);
          if (verdict.kind !== twin(each)) throw new Error(`${verdict.kind}, not ${twin(each)}`);
          // Whatever else: nobody is healed by less than a strict majority, or by itself.
          if (verdict.kind !== 'heal') return;
          if (verdict.holders.length * 2 <= each.hosts || verdict.crc === own.content?.crc)
            throw new Error('healed');
        },
      ),
      { numRuns: 20_000 },
    );
  t.doesNotThrow(check);
});

t.test('which blocks and which extents are looked at', async (t) => {
  t.same(blocksToLookAt(2 * BLOCK_BYTES + 1, []), [0, 1, 2]);
  t.same(blocksToLookAt(2 * BLOCK_BYTES, [5, 1, 0, 1, -1, 2]), [0, 1]);
  t.same(blocksToLookAt(0, []), []);
  const record = (fileId: number, size: number, crc: number, deleted = false): ExtentInfo => {
    return { fileId, size, crc, deleted, modTime: 0, source: '' };
  };
  const own = [
    record(1030, 9, 7),
    record(1025, 9, 7),
    record(1026, 9, 0),
    record(1027, 9, 7),
    record(1028, 9, 7),
    record(5, 4096, 7),
  ];
  const first = [
    record(1025, 9, 8),
    record(1026, 9, 8),
    record(1027, 8, 8),
    record(1028, 9, 0),
    record(1030, 9, 7),
    record(5, 4096, 8),
  ];
  const second = [record(1025, 9, 7), record(1028, 9, 8, true), record(1030, 9, 6)];
  t.same(differingExtents(own, [first, second]), [
    { extentId: 1025, sizeBytes: 9, key: '9 7 8 7' },
    { extentId: 1030, sizeBytes: 9, key: '9 7 7 6' },
  ]);
  t.same(differingExtents(own, []), []);
});
