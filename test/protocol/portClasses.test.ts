/** Who sends which packet: every opcode of v1.4.0 and each class, against the senders of `wire.md` 4, 7 and 9. */
import t from 'tap';
import { nameOf, OP, OPCODES } from '../../src/protocol/opcodes.js';
import { EVERY_CLASS, notAdmitted, PORT_CLASS, sendersOf } from '../../src/protocol/portClasses.js';
import { RESULT, resultCodeFor } from '../../src/protocol/resultCodes.js';

/** Name, senders without followers, senders with followers; c: clients, p: peers, m: masters. */
const SENDERS: [name: string, plain: string, primary: string][] = [
  ['OpCreateExtent', 'cp', 'c'],
  ['OpMarkDelete', 'cp', 'c'],
  ['OpWrite', 'cp', 'c'],
  ['OpRead', 'cpm', 'cpm'],
  ['OpStreamRead', 'c', 'c'],
  ['OpStreamFollowerRead', 'c', 'c'],
  ['OpGetAllWatermarks', 'p', 'p'],
  ['OpNotifyReplicasToRepair', 'p', 'p'],
  ['OpExtentRepairRead', 'p', 'p'],
  ['OpBroadcastMinAppliedID', 'p', 'p'],
  ['OpRandomWrite', 'c', 'c'],
  ['OpGetAppliedId', 'p', 'p'],
  ['OpGetPartitionSize', 'p', 'p'],
  ['OpSyncRandomWrite', 'c', 'c'],
  ['OpSyncWrite', 'cp', 'c'],
  ['OpReadTinyDeleteRecord', 'p', 'p'],
  ['OpTinyExtentRepairRead', 'p', 'p'],
  ['OpGetMaxExtentIDAndPartitionSize', 'p', 'p'],
  ['OpCreateDataPartition', 'm', 'm'],
  ['OpDeleteDataPartition', 'm', 'm'],
  ['OpLoadDataPartition', 'm', 'm'],
  ['OpDataNodeHeartbeat', 'm', 'm'],
  ['OpReplicateFile', 'cpm', 'cpm'],
  ['OpDeleteFile', 'cpm', 'cpm'],
  ['OpDecommissionDataPartition', 'pm', 'pm'],
  ['OpAddDataPartitionRaftMember', 'pm', 'pm'],
  ['OpRemoveDataPartitionRaftMember', 'pm', 'pm'],
  ['OpDataPartitionTryToLeader', 'm', 'm'],
  ['OpPing', 'cpm', 'cpm'],
];

const LETTERS = [
  ['c', PORT_CLASS.clients],
  ['p', PORT_CLASS.peers],
  ['m', PORT_CLASS.masters],
] as const;

t.test(
  'every opcode of v1.4.0, with and without followers, is for its senders and for no others',
  async (t) => {
    t.strictSame(
      SENDERS.map(([name]) => name),
      OPCODES.map(({ name }) => name),
      'the table has every opcode',
    );
    for (const [index, [name, plain, primary]] of SENDERS.entries()) {
      const opcode = OPCODES[index]!.value;
      for (const [letter, bit] of LETTERS) {
        t.equal((sendersOf(opcode, 0) & bit) !== 0, plain.includes(letter), `${name} ${letter}`);
        for (const followers of [1, 2, 255]) {
          const admitted = (sendersOf(opcode, followers) & bit) !== 0;
          t.equal(admitted, primary.includes(letter), `${name} ${letter} with ${followers}`);
        }
      }
    }
  },
);

t.test('an opcode that v1.4.0 does not have is for everybody, who learns that it is unknown', async (t) => {
  const known = new Set(OPCODES.map(({ value }) => value));
  for (let opcode = 0; opcode < 256; opcode++) {
    if (known.has(opcode)) continue;
    t.equal(sendersOf(opcode, 0), EVERY_CLASS, nameOf(opcode));
    t.equal(sendersOf(opcode, 2), EVERY_CLASS, nameOf(opcode));
  }
});

t.test(
  'a refusal names the lists that are wanted; only a client’s read may go to another replica',
  async (t) => {
    const cases: [opcode: number, followers: number, text: string, code: number][] = [
      [
        OP.write,
        0,
        'address not admitted: OpWrite wants an address of access.clients or access.peers',
        RESULT.notPerm,
      ],
      [OP.write, 2, 'address not admitted: OpWrite wants an address of access.clients', RESULT.notPerm],
      [
        OP.randomWrite,
        0,
        'address not admitted: OpRandomWrite wants an address of access.clients',
        RESULT.notPerm,
      ],
      [
        OP.streamRead,
        0,
        'address not admitted by this replica: OpStreamRead wants an address of access.clients',
        RESULT.tryOtherAddr,
      ],
      [
        OP.streamFollowerRead,
        0,
        'address not admitted by this replica: OpStreamFollowerRead wants an address of access.clients',
        RESULT.tryOtherAddr,
      ],
      [
        OP.extentRepairRead,
        0,
        'address not admitted: OpExtentRepairRead wants an address of access.peers',
        RESULT.notPerm,
      ],
      [
        OP.dataNodeHeartbeat,
        0,
        'address not admitted: OpDataNodeHeartbeat wants an address of access.masters',
        RESULT.notPerm,
      ],
      [
        OP.addDataPartitionRaftMember,
        0,
        'address not admitted: OpAddDataPartitionRaftMember wants an address of access.peers or access.masters',
        RESULT.notPerm,
      ],
    ];
    for (const [opcode, followers, text, code] of cases) {
      t.equal(notAdmitted(opcode, followers), text);
      t.equal(resultCodeFor('ActionPreparePkt', text), code, text);
    }
  },
);
