/** Which classes an address is admitted as. */
import t from 'tap';
import { EVERY_CLASS, PORT_CLASS } from '../../src/protocol/portClasses.js';
import { PortAccess } from '../../src/server/portAccess.js';

const { clients, peers, masters } = PORT_CLASS;

t.test('by default everybody is everything', async (t) => {
  const access = new PortAccess({ accessClients: [], accessPeers: [], accessMasters: [] });
  for (const address of ['10.0.0.1', '::1', '::ffff:10.0.0.1', 'fe80::1%eth0', '?']) {
    t.equal(access.classesOf(address), EVERY_CLASS, address);
  }
});

t.test('an address is of the classes in whose lists it is', async (t) => {
  const access = new PortAccess({
    accessClients: ['10.0.0.0/8', 'fd00::/8'],
    accessPeers: ['10.1.0.0/16'],
    accessMasters: ['10.1.0.1', '192.168.0.0/30'],
  });
  const cases: [address: string, classes: number][] = [
    ['10.2.0.1', clients],
    ['10.1.0.2', clients | peers],
    ['10.1.0.1', clients | peers | masters],
    ['::ffff:10.1.0.1', clients | peers | masters],
    ['192.168.0.3', masters],
    ['192.168.0.4', 0],
    ['::ffff:192.168.0.4', 0],
    ['fd01::5', clients],
    ['::1', 0],
    ['?', 0],
  ];
  for (const [address, classes] of cases) t.equal(access.classesOf(address), classes, address);
});

t.test('an empty list admits everybody, so nobody is in none', async (t) => {
  const access = new PortAccess({
    accessClients: ['10.0.0.1'],
    accessPeers: [],
    accessMasters: ['10.0.0.2'],
  });
  t.equal(access.classesOf('10.0.0.1'), clients | peers);
  t.equal(access.classesOf('10.0.0.2'), masters | peers);
  t.equal(access.classesOf('10.0.0.3'), peers);
});
