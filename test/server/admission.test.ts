/** What is to happen to a packet, by its header, its sender's classes and the state of its partition. */
import t from 'tap';
import { WIRE_LIMITS } from '../../src/config/limits.js';
import { PacketHeader } from '../../src/protocol/header.js';
import { OP, OPCODES } from '../../src/protocol/opcodes.js';
import { EVERY_CLASS, PORT_CLASS, sendersOf } from '../../src/protocol/portClasses.js';
import { Admission, VERDICT } from '../../src/server/admission.js';
import { PacketFacts } from '../../src/server/packetFacts.js';

function header(fields: Partial<PacketHeader>): PacketHeader {
  return Object.assign(new PacketHeader(), { extentType: 1, size: 4096, exact: true, ...fields });
}

function facts(classes: number, partitionKnown: boolean, diskMessage: string): PacketFacts {
  return Object.assign(new PacketFacts(), { classes, partitionKnown, diskMessage });
}

/** Every mask of classes that a connection can have; none at all as well, though no such connection is kept. */
const MASKS = Array.from({ length: EVERY_CLASS + 1 }, (_, mask) => mask);

t.test(
  'a packet is refused when its sender is of none of the classes that may send it, else decided as ever',
  async (t) => {
    const admission = new Admission();
    const open = new Admission();
    for (const { value: opcode, name } of OPCODES) {
      for (const remainingFollowers of [0, 2]) {
        const packet = header({ opcode, remainingFollowers });
        open.decide(packet, facts(EVERY_CLASS, true, ''));
        for (const mask of MASKS) {
          admission.decide(packet, facts(mask, true, ''));
          const what = `${name} ${remainingFollowers} ${mask}`;
          t.equal(admission.bodyBytes, open.bodyBytes, what);
          if ((sendersOf(opcode, remainingFollowers) & mask) === 0) {
            t.equal(admission.verdict, VERDICT.refuse, what);
            t.equal(admission.action, 'ActionPreparePkt', what);
            t.match(admission.message, `address not admitted`, what);
            t.equal(admission.checkCrc, false, what);
          } else {
            t.equal(admission.verdict, open.verdict, what);
            if (open.verdict === VERDICT.refuse) t.equal(admission.message, open.message, what);
            t.equal(admission.checkCrc, open.checkCrc, what);
          }
        }
      }
    }
  },
);

t.test('the sender is looked at before anything of the node is told, and after the caps', async (t) => {
  const admission = new Admission();
  const { peers } = PORT_CLASS;
  // Whether a partition exists here, or its disk is broken, is nothing for whom no list admits.
  admission.decide(header({ opcode: OP.streamRead }), facts(peers, false, ''));
  t.match(admission.message, /^address not admitted/);
  admission.decide(header({ opcode: OP.streamRead, extentType: 9 }), facts(peers, true, 'disk has broken'));
  t.match(admission.message, /^address not admitted/);
  const size = WIRE_LIMITS.writeBodyBytesMax + 1;
  admission.decide(header({ opcode: OP.randomWrite, size }), facts(peers, true, ''));
  t.equal(admission.verdict, VERDICT.close);
});
