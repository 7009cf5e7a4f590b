/** What a block may hold after random writes, of which some were acknowledged and some were in flight at once. */
import t from 'tap';
import { whatIsWrong } from '../../bench/content.js';
import { tableCrc } from '../../bench/crc.js';
import { Payload } from '../../bench/payload.js';
import { Slot } from '../../bench/slots.js';
import { UnitVersions } from '../../bench/versions.js';
import { Random } from '../sim/random.js';

const UNIT = 4096;

t.test('a write that was acknowledged takes away what was before it', async (t) => {
  const versions = new UnitVersions(UNIT);
  t.same(versions.possible(0), [0], 'as it was filled');
  versions.sent(UNIT, 1);
  t.same(versions.possible(UNIT), [0, 1], 'nobody knows');
  versions.acknowledged(UNIT, 1);
  t.same(versions.possible(UNIT + 100), [1], 'anywhere in the unit');
  versions.sent(UNIT, 2);
  versions.sent(UNIT, 3);
  versions.acknowledged(UNIT, 2);
  t.same(versions.possible(UNIT), [2, 3]);
  versions.acknowledged(UNIT, 3);
  t.same(versions.possible(UNIT), [2, 3], 'both were in flight at once');
  versions.sent(0, 4);
  versions.sent(UNIT, 5);
  versions.acknowledged(UNIT, 5);
  t.same(versions.possible(UNIT), [5]);
  t.same(versions.possible(0), [0, 4], 'other units are apart');
  versions.sent(0, 6);
  versions.acknowledged(0, 6);
  t.same(versions.possible(0), [4, 6], 'a write without an answer may come at any time');
});

t.test('whatever the order of what is unordered, what is there is possible', async (t) => {
  for (let seed = 1; seed <= 200; seed++) {
    const random = new Random(seed);
    const versions = new UnitVersions(UNIT);
    const flying: number[] = [];
    let there = 0;
    let version = 0;
    for (let step = 0; step < 40; step++) {
      if (flying.length < 3 && random.chance(0.5)) {
        version += 1;
        versions.sent(0, version);
        flying.push(version);
      } else if (flying.length > 0) {
        // Carried out at any place in flight, answered in any order; some never are.
        const [one] = flying.splice(random.below(flying.length), 1);
        if (random.chance(0.8)) there = one!;
        else continue;
        versions.acknowledged(0, one!);
      }
      t.ok(versions.possible(0).includes(there), `seed ${seed}, step ${step}`);
    }
  }
});

t.test('a packet of several units: each holds one of its own versions', async (t) => {
  const payload = new Payload(7, UNIT);
  const slot = new Slot();
  Object.assign(slot, { partitionId: 1, extentId: 1025, stampExtentId: 1025 });
  const versions = new UnitVersions(UNIT);
  slot.extent = { partitionId: 1, extentId: 1025, ackedBytes: 4 * UNIT, versions };
  versions.sent(UNIT, 1);
  versions.sent(2 * UNIT, 2);
  versions.acknowledged(2 * UNIT, 2);
  const packet = (...of: number[]): string | null => {
    const units = of.map((version, unit) => payload.make(1, 1025, unit * UNIT, UNIT, version));
    const body = Buffer.concat(units);
    return whatIsWrong(payload, tableCrc, slot, 0, body, tableCrc(body, 0));
  };
  t.equal(packet(0, 0, 2), null);
  t.equal(packet(0, 1, 2), null);
  t.match(packet(0, 1, 0), /byte 8216 .*offset 8192 version 0, where version 2 is due/);
  t.match(packet(0, 2, 2), /version 2, where version 0 or 1 is due/);
  t.match(packet(1, 1, 2), /version 1, where version 0 is due/);
});
