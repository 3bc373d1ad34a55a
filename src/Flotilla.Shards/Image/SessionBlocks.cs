using Flotilla.Raft;
using Flotilla.Shards.ExactlyOnce;
using Flotilla.Topology;

namespace Flotilla.Shards.Image;

/// <summary>Writes sessions into blocks, in the order of their keys; a session with many results goes on in the next block.</summary>
/// <remarks><code>
/// session = lineage:varint (0: an own one)  origin:varint (a group; 0 for an own one)   (both since format 3)
///           index:varint  place:varint  idle:varint (ms)  window:varint  maxSessions:varint  maxResults:varint
///           lastUsed:varint (ms)  mark:varint  count:varint   count × result, in the order of their sequences
/// result  = sequence:varint (less the one before; the first: less the mark)  slot:varint  code:u8  version  value:bytes
/// </code></remarks>
internal sealed class SessionBlocks(Session[] sessions)
{
    private const int MaxItemBytes = 176; // A session's head, or one result.

    private int _session;
    private int _result = -1; // -1: the session's head comes next

    /// <summary>Writes kind and content of the next block behind <paramref name="at"/>; where it ends, or 0 if there is no more.</summary>
    public int Write(Span<byte> to, int at)
    {
        if (_session == sessions.Length)
        {
            return 0;
        }

        to[at++] = (byte)BlockKind.Sessions;
        while (_session < sessions.Length && at + MaxItemBytes <= to.Length)
        {
            var session = sessions[_session];
            at = _result < 0 ? WriteHead(to, at, session) : WriteResult(to, at, session, _result);
            if (++_result == session.Count)
            {
                _session++;
                _result = -1;
            }
        }

        return at;
    }

    private static int WriteHead(Span<byte> to, int at, Session session)
    {
        at = Encoded.WriteVarint(to, at, (uint)session.Key.Lineage);
        at = Encoded.WriteVarint(to, at, session.Key.Origin.Value);
        at = Encoded.WriteVarint(to, at, session.Key.Id.Index.Value);
        at = Encoded.WriteVarint(to, at, session.Key.Id.Place);
        at = Encoded.WriteVarint(to, at, (ulong)session.Terms.IdleMs);
        at = Encoded.WriteVarint(to, at, (uint)session.Terms.Window);
        at = Encoded.WriteVarint(to, at, (uint)session.Terms.MaxSessions);
        at = Encoded.WriteVarint(to, at, (uint)session.Terms.MaxResults);
        at = Encoded.WriteVarint(to, at, (ulong)session.LastUsedMs);
        at = Encoded.WriteVarint(to, at, session.Mark);
        return Encoded.WriteVarint(to, at, (uint)session.Count);
    }

    private static int WriteResult(Span<byte> to, int at, Session session, int index)
    {
        ref readonly var result = ref session.Results[index];
        at = Encoded.WriteVarint(to, at, result.Sequence - (index == 0 ? session.Mark : session.Results[index - 1].Sequence));
        at = Encoded.WriteVarint(to, at, result.Slot.Value);
        to[at++] = (byte)result.Code;
        at = Encoded.WriteVersion(to, at, result.Version);
        return Encoded.WriteBytes(to, at, result.Value);
    }
}

/// <summary>Reads what <see cref="SessionBlocks"/> wrote into a table.</summary>
internal sealed class SessionBlocksReader(SessionTable table, byte format, LogIndex lastApplied, long logTimeMs)
{
    private Session? _open; // whose results go on
    private int _resultsLeft;
    private ulong _lastSequence;
    private SessionKey _last;

    /// <summary>No session is half read.</summary>
    public bool IsComplete => _open is null;

    /// <summary>Reads the content of one block.</summary>
    public void Read(ref EncodedReader<MalformedImageException> reader)
    {
        while (reader.Remaining > 0)
        {
            if (_open is null)
            {
                ReadHead(ref reader);
            }
            else
            {
                ReadResult(ref reader, _open);
            }

            if (_open is { } session && _resultsLeft == 0)
            {
                table.Install(session);
                _open = null;
            }
        }
    }

    private void ReadHead(ref EncodedReader<MalformedImageException> reader)
    {
        var lineage = format < 3 ? 0 : reader.Int32(0, int.MaxValue);
        var origin = new GroupId(format < 3 ? 0 : reader.Varint(ulong.MaxValue));
        reader.Require(lineage > 0 || origin == default, "an own session has an origin");
        var key = new SessionKey(lineage, origin, new SessionId(new LogIndex(reader.Varint(lineage == 0 ? lastApplied.Value : ulong.MaxValue)), (uint)reader.Varint(uint.MaxValue)));
        reader.Require(key.CompareTo(_last) > 0, "sessions are out of order");
        var terms = new SessionTerms((long)reader.Varint(long.MaxValue), (int)reader.Varint(int.MaxValue), (int)reader.Varint(int.MaxValue), (int)reader.Varint(int.MaxValue));
        reader.Require(terms.IsValid, "the terms of a session cannot be");
        _open = table.NewSession(key, terms, (long)reader.Varint((ulong)logTimeMs));
        _open.MoveMark(reader.Varint(ulong.MaxValue));
        _resultsLeft = (int)reader.Varint((ulong)terms.Window);
        _last = key;
        _lastSequence = _open.Mark;
    }

    private void ReadResult(ref EncodedReader<MalformedImageException> reader, Session session)
    {
        var ahead = reader.Varint((ulong)session.Terms.Window);
        reader.Require(ahead > 0 || session.Count == 0, "two results have one sequence");
        var aboveMark = _lastSequence - session.Mark + ahead;
        reader.Require(aboveMark < (ulong)session.Terms.Window && ahead <= ulong.MaxValue - _lastSequence, "a result is outside its session's window");
        _lastSequence += ahead;
        var slot = new Slot((ushort)reader.Varint(Slot.Count - 1));
        var code = (ResultCode)reader.Byte();
        var version = reader.Version();
        var value = reader.Bytes();
        reader.Require(RecordedResult.MayBeKept(code, value.Length), "a result cannot have been recorded");
        session.Record(new RecordedResult(_lastSequence, slot, code, version, value.IsEmpty ? null : value.ToArray()));
        _resultsLeft--;
    }
}
