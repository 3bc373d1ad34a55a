using System.Buffers.Binary;
using System.Text;
using Flotilla.Raft;

namespace Flotilla.Wire.Log;

/// <summary>
/// Reads the fields of one record whose checksum was verified. Every method answers false for a record that no writer of
/// this format made, and never throws: whatever the bytes are, reading them is safe.
/// </summary>
public readonly ref struct RecordReader
{
    private readonly ReadOnlySpan<byte> _record;

    /// <summary>A reader over one whole record.</summary>
    public RecordReader(ReadOnlySpan<byte> record) => _record = record;

    /// <summary>What the record is.</summary>
    public RecordKind Kind => (RecordKind)_record[8];

    private uint Number => BinaryPrimitives.ReadUInt32LittleEndian(_record[12..]);

    /// <summary>The head of an entries record: the group, the first index, the term, how many entries there are.</summary>
    public bool TryReadEntriesHead(out GroupId group, out LogIndex first, out Term term, out int count)
    {
        group = default;
        first = default;
        term = default;
        count = 0;
        if (Kind != RecordKind.Entries || _record.Length < 40 || Number is 0 or > int.MaxValue)
        {
            return false;
        }

        group = new GroupId(UInt64(16));
        first = new LogIndex(UInt64(24));
        term = new Term(UInt64(32));
        count = (int)Number;
        return first.Value > 0 && first.Value <= ulong.MaxValue - (ulong)count;
    }

    /// <summary>An enumerator over the entries of an entries record.</summary>
    public EntryCursor Entries => new(_record[40..], (int)Number);

    /// <summary>A hard state.</summary>
    public bool TryReadHardState(out GroupId group, out HardState state)
    {
        group = default;
        state = default;
        if (Kind != RecordKind.HardState || _record.Length < 40)
        {
            return false;
        }

        NodeId vote = default;
        if (Number > 0)
        {
            var bytes = Number - 1;
            if (bytes > _record.Length - 40)
            {
                return false;
            }

            vote = new NodeId(Encoding.UTF8.GetString(_record.Slice(40, (int)bytes)));
        }

        group = new GroupId(UInt64(16));
        state = new HardState(new Term(UInt64(24)), vote, new LogIndex(UInt64(32)));
        return true;
    }

    /// <summary>An identity state.</summary>
    public bool TryReadIdentity(out GroupId group, out IdentityState identity)
    {
        group = default;
        identity = IdentityState.Empty;
        // A peer takes 16 bytes at the least: a number that the record cannot hold never sizes an array.
        if (Kind != RecordKind.Identity || _record.Length < 32 || Number > (_record.Length - 32) / 16)
        {
            return false;
        }

        var known = new KnownPeer[Number];
        var rest = _record[32..];
        for (var i = 0; i < known.Length; i++)
        {
            if (rest.Length < 16)
            {
                return false;
            }

            var name = BinaryPrimitives.ReadUInt32LittleEndian(rest[8..]);
            if (name > rest.Length - 16)
            {
                return false;
            }

            known[i] = new KnownPeer(
                new NodeId(Encoding.UTF8.GetString(rest.Slice(16, (int)name))),
                new Incarnation(BinaryPrimitives.ReadUInt64LittleEndian(rest)),
                rest[12] != 0);
            rest = rest[(16 + (int)name)..];
        }

        group = new GroupId(UInt64(16));
        identity = new IdentityState(_record[24] != 0, known);
        return true;
    }

    /// <summary>"Entries up to here are no longer needed." The term is 0 if it isn't known.</summary>
    public bool TryReadReleased(out GroupId group, out LogBase through)
    {
        var ok = Kind == RecordKind.Released && _record.Length >= 40;
        group = ok ? new GroupId(UInt64(16)) : default;
        through = ok ? new LogBase(new LogIndex(UInt64(24)), new Term(UInt64(32))) : default;
        return ok;
    }

    /// <summary>"All entries are forgotten; the log begins behind this."</summary>
    public bool TryReadReset(out GroupId group, out LogBase to)
    {
        var ok = Kind == RecordKind.Reset && _record.Length >= 40;
        group = ok ? new GroupId(UInt64(16)) : default;
        to = ok ? new LogBase(new LogIndex(UInt64(24)), new Term(UInt64(32))) : default;
        return ok;
    }

    /// <summary>"The group is forgotten, with all that the log holds of it."</summary>
    public bool TryReadForgotten(out GroupId group)
    {
        var ok = Kind == RecordKind.Forgotten && _record.Length >= 24;
        group = ok ? new GroupId(UInt64(16)) : default;
        return ok;
    }

    /// <summary>The last entry of a group when the segment began.</summary>
    public bool TryReadLast(out GroupId group, out LogIndex index, out Term term)
    {
        var ok = Kind == RecordKind.Last && _record.Length >= 40;
        group = ok ? new GroupId(UInt64(16)) : default;
        index = ok ? new LogIndex(UInt64(24)) : default;
        term = ok ? new Term(UInt64(32)) : default;
        return ok;
    }

    /// <summary>The oldest segment still needed.</summary>
    public bool TryReadOldest(out ulong sequence)
    {
        var ok = Kind == RecordKind.Oldest && _record.Length >= 24;
        sequence = ok ? UInt64(16) : 0;
        return ok;
    }

    /// <summary>The segment that follows.</summary>
    public bool TryReadContinues(out ulong sequence, out ulong generation)
    {
        var ok = Kind == RecordKind.Continues && _record.Length >= 32;
        sequence = ok ? UInt64(16) : 0;
        generation = ok ? UInt64(24) : 0;
        return ok;
    }

    private ulong UInt64(int at) => BinaryPrimitives.ReadUInt64LittleEndian(_record[at..]);
}

/// <summary>Walks over the entries of one record: kind and payload of each, in order.</summary>
public ref struct EntryCursor
{
    private ReadOnlySpan<byte> _rest;
    private int _left;
    private int _offset;

    internal EntryCursor(ReadOnlySpan<byte> entries, int count)
    {
        _rest = entries;
        _left = count;
    }

    /// <summary>The entry's kind.</summary>
    public EntryKind Kind { get; private set; }

    /// <summary>The entry's payload.</summary>
    public ReadOnlySpan<byte> Payload { get; private set; }

    /// <summary>How many entries are still to come.</summary>
    public readonly int Left => _left;

    /// <summary>Goes on to the next entry. False at the end, and where the record is malformed (then <see cref="Left"/> is not 0).</summary>
    public bool TryNext()
    {
        if (_left == 0 || _rest.Length < 5)
        {
            return false;
        }

        var length = BinaryPrimitives.ReadUInt32LittleEndian(_rest[1..]);
        if (length > _rest.Length - 5)
        {
            return false;
        }

        Kind = (EntryKind)_rest[0];
        Payload = _rest.Slice(5, (int)length);
        _offset += 5 + (int)length;
        _rest = _rest[(5 + (int)length)..];
        _left--;
        return true;
    }

    /// <summary>Bytes walked over so far.</summary>
    public readonly int Offset => _offset;
}
