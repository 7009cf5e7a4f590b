/** Error texts, the code rule, and error bodies (`wire.md` 5). */
import t from 'tap';
import {
  ACTION,
  applyRandomWriteFailed,
  badMagic,
  diskNotExist,
  diskRejectsWrite,
  ERROR_BODY_BYTES_MAX,
  ERROR_TEXT,
  errorBody,
  extentCountExhausted,
  extentFileMissing,
  extentIdAllocationFailed,
  followerReplyMismatch,
  isDiskErrorText,
  markDeleteBodyFailed,
  negativeOffset,
  noTinyExtentAvailable,
  OS_ERROR_TEXT,
  parameterMismatch,
  partitionNotExist,
  tinyExtentOffsetFailed,
  unavailableTinyExtent,
  unknownOpcode,
} from '../../src/protocol/errors.js';
import { actionOf, OP, UNKNOWN_OPCODE_ACTION } from '../../src/protocol/opcodes.js';
import { RESULT, RESULT_CODES, resultCodeFor, resultName } from '../../src/protocol/resultCodes.js';
import { hex, utf8, wireVector } from './vectors.js';

t.test('result codes have the values and names of v1.4.0', async (t) => {
  const names = Object.fromEntries(RESULT_CODES.map((row) => [row.value, row.name]));
  t.same(names, {
    0: '(initial)',
    240: 'OpOk',
    243: 'OpIntraGroupNetErr',
    244: 'OpArgMismatchErr',
    245: 'OpNotExistErr',
    246: 'OpDiskNoSpaceErr',
    247: 'OpDiskErr',
    248: 'OpErr',
    249: 'OpAgain',
    250: 'OpExistErr',
    251: 'OpInodeFullErr',
    252: 'OpTryOtherAddr',
    253: 'OpNotPerm',
    254: 'OpNotEmpty',
  });
  t.equal(resultName(0xfc), 'OpTryOtherAddr');
  t.equal(resultName(0x12), '0x12');
  t.same(
    RESULT_CODES.filter((row) => row.sent).map((row) => row.value),
    [0xf0, 0xf3, 0xf4, 0xf5, 0xf6, 0xf9, 0xfc, 0xfd],
  );
});

t.test('every fixed text yields the code of the specification', async (t) => {
  const expected: Record<keyof typeof ERROR_TEXT, number> = {
    incorrectStoreType: 0xf3,
    crcMismatch: 0xf3,
    partitionNotExists: 0xfc,
    noSpace: 0xf6,
    brokenDisk: 0xf3,
    argLenMismatch: 0xf3,
    badNodes: 0xf3,
    extentExists: 0xf3,
    extentNotFound: 0xf5,
    extentDeleted: 0xf5,
    extentIsFull: 0xf3,
    extentBroken: 0xf3,
    parameterMismatch: 0xf4,
    noAvailableExtent: 0xf3,
    noBrokenExtent: 0xf3,
    eof: 0xf3,
    unexpectedEof: 0xf3,
    tryAgain: 0xf9,
    notRaftLeader: 0xfc,
    noRaftLeader: 0xf3,
    raftNotStarted: 0xf3,
    raftShutdown: 0xf3,
    raftNotExists: 0xf3,
    noDiskForPartition: 0xf3,
    newSpaceManagerFailed: 0xf3,
    illegalPartitionMetadata: 0xf3,
    adminTaskUndecodable: 0xf3,
    illegalOpcode: 0xf3,
    contentMissing: 0xfc,
    notAdmitted: 0xfd,
    readNotAdmitted: 0xfc,
  };
  for (const [name, code] of Object.entries(expected)) {
    const text = ERROR_TEXT[name as keyof typeof ERROR_TEXT];
    t.equal(resultCodeFor('ActionWrite:', text), code, `${name}: ${text}`);
  }
});

t.test('the action decides before the message', async (t) => {
  t.equal(resultCodeFor(ACTION.receiveFromFollower, ERROR_TEXT.noSpace), RESULT.intraGroupNetErr);
  t.equal(resultCodeFor(ACTION.sendToFollowers, ERROR_TEXT.extentNotFound), RESULT.intraGroupNetErr);
  t.equal(resultCodeFor('ConnIsNullErr', ERROR_TEXT.tryAgain), RESULT.intraGroupNetErr);
  t.equal(resultCodeFor('data partition not exists', 'x'), RESULT.intraGroupNetErr, 'other actions do not');
});

t.test('the first rule that matches wins', async (t) => {
  t.equal(resultCodeFor('a', 'parameter mismatch error, data partition not exists'), RESULT.argMismatchErr);
  t.equal(resultCodeFor('a', 'try again: raft is not the leader.'), RESULT.again);
  t.equal(
    resultCodeFor('a', 'raft is not the leader'),
    RESULT.intraGroupNetErr,
    'the dot belongs to the text',
  );
});

t.test('the operating system out of space is not the node out of space', async (t) => {
  t.equal(resultCodeFor('ActionWrite:', `write /x/1025: ${OS_ERROR_TEXT.ENOSPC}`), RESULT.intraGroupNetErr);
});

t.test('parametrised texts are spelt as in the reference', async (t) => {
  t.equal(parameterMismatch(134217728, 10), 'parameter mismatch error: offset=134217728 size=10');
  t.equal(unknownOpcode(85), 'unknown opcode85');
  t.equal(badMagic(71), 'Bad Magic 71');
  t.equal(
    noTinyExtentAvailable(3),
    'addExtentInfo partition 3 GetAvailableTinyExtent error no available extent',
  );
  t.equal(
    tinyExtentOffsetFailed(3, 7, 'extent does not exist'),
    'addExtentInfo partition 3  7 GetTinyExtentOffset error extent does not exist',
  );
  t.equal(extentCountExhausted(3), 'addExtentInfo partition 3 has reached maxExtentId');
  t.equal(
    extentIdAllocationFailed(3, 'file exists'),
    'addExtentInfo partition 3 alloc NextExtentId error file exists',
  );
  t.equal(
    markDeleteBodyFailed('unexpected end of JSON input'),
    'addExtentInfo failed unexpected end of JSON input',
  );
  t.equal(
    extentFileMissing(42, 1025, '/d/1025'),
    'load  extent 42_1025 from disk: restore from file /d/1025 putCache true system: extent does not exist',
  );
  t.equal(negativeOffset('writeat', '/d/1025'), 'writeat /d/1025: negative offset');
  t.equal(unavailableTinyExtent(1026), 'unavali extentID (1026)');
  t.equal(
    applyRandomWriteFailed(5, 5, 4001, 0, 10, ERROR_TEXT.extentNotFound),
    '[ApplyRandomWrite] ApplyID(5) Partition(5)_Extent(4001)_ExtentOffset(0)_Size(10) apply err(extent does not exist) retry[20]',
  );
  t.equal(diskRejectsWrite(5, '/d'), 'partition(5) disk(/d) err(no space left on device)');
  t.equal(partitionNotExist(99999), 'partition 99999 not exsit');
  t.equal(diskNotExist('/nowhere'), 'disk(/nowhere) not exsit');
  t.equal(followerReplyMismatch('a', 'b'), 'ActionCheckReply request(a), reply(b)  ');
});

t.test('error texts with a mapped part get its code', async (t) => {
  t.equal(resultCodeFor('ActionWrite:', parameterMismatch(0, 0)), RESULT.argMismatchErr);
  t.equal(resultCodeFor(UNKNOWN_OPCODE_ACTION, unknownOpcode(255)), RESULT.argMismatchErr);
  t.equal(
    resultCodeFor('ActionWrite:', applyRandomWriteFailed(5, 5, 4001, 0, 10, 'extent does not exist')),
    RESULT.notExistErr,
  );
  t.equal(resultCodeFor('ActionWrite:', extentFileMissing(42, 1025, '/d/1025')), RESULT.notExistErr);
});

t.test('IsDiskErr: EIO and EROFS mean a failing disk, nothing else does', async (t) => {
  t.ok(isDiskErrorText('read /d/1025: input/output error'));
  t.ok(isDiskErrorText('write /d/1025: read-only file system'));
  for (const text of [OS_ERROR_TEXT.ENOSPC, OS_ERROR_TEXT.ENOENT, ERROR_TEXT.brokenDisk, 'EOF', '']) {
    t.notOk(isDiskErrorText(text));
  }
});

t.test('an error body is action, underscore, message', async (t) => {
  t.equal(hex(errorBody(ACTION.receiveFromFollower, 'EOF')), wireVector('W5').body);
  t.equal(hex(errorBody(ACTION.prepare, ERROR_TEXT.partitionNotExists)), wireVector('W6').body);
  t.equal(hex(errorBody(actionOf(OP.streamRead), ERROR_TEXT.notRaftLeader)), wireVector('R3').body);
  t.equal(utf8(errorBody(actionOf(99 + 30), unknownOpcode(129))), 'unknown opcode_unknown opcode129');
});

t.test('an error body is cut at its cap, never inside a character', async (t) => {
  t.equal(errorBody('a', 'x'.repeat(10_000)).byteLength, ERROR_BODY_BYTES_MAX);
  t.equal(utf8(errorBody('a', 'é€', 4)), 'a_é');
  t.equal(utf8(errorBody('a', 'é€', 6)), 'a_é', 'the euro sign needs three bytes');
  t.equal(utf8(errorBody('a', 'é€', 7)), 'a_é€');
});
