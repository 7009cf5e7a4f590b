/** The file list of a load task, against the general codec. */
import t from 'tap';
import { SnapshotText } from '../../src/protocol/snapshotText.js';

function text(list: SnapshotText): string {
  return Buffer.from(list.finish()).toString();
}

t.test('no file is an empty array', async (t) => {
  t.equal(text(new SnapshotText()), '[]');
});

t.test('every number has its decimal digits', async (t) => {
  const numbers = [0, 1, 9, 4_294_967_295, 2 ** 53 - 1];
  for (let power = 10; power < 2 ** 53; power *= 10) numbers.push(power - 1, power, power + 1);
  const list = new SnapshotText();
  const wanted = numbers.map((number) => {
    const small = number % 2 ** 32;
    list.add(number, small, small, number);
    return { Name: String(number), Crc: small, Size: small, Modified: number };
  });
  t.equal(text(list), JSON.stringify(wanted));
});

t.test('a size is cut to 32 bits', async (t) => {
  const list = new SnapshotText();
  list.add(1, 0, 2 ** 32, 0);
  list.add(2, 0, 2 ** 32 + 4096, 0);
  t.same(
    JSON.parse(text(list)).map(({ Size }: { Size: number }) => Size),
    [0, 4096],
  );
});

t.test('long lists grow', async (t) => {
  const list = new SnapshotText();
  const wanted = Array.from({ length: 30_000 }, (_, i) => {
    list.add(2 ** 53 - 1 - i, 0xffff_ffff, 0xffff_ffff, 2 ** 53 - 1);
    return { Name: String(2 ** 53 - 1 - i), Crc: 0xffff_ffff, Size: 0xffff_ffff, Modified: 2 ** 53 - 1 };
  });
  t.equal(text(list), JSON.stringify(wanted));
});
