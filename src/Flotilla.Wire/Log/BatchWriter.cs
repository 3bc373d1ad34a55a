using System.Buffers.Binary;
using System.Text;
using Flotilla.Raft;

namespace Flotilla.Wire.Log;

/// <summary>
/// Gathers the records of one batch in one growing buffer. A payload is copied once, into this buffer; nothing is
/// allocated for an entry. Not thread-safe.
/// </summary>
public sealed class BatchWriter
{
    /// <summary>Bytes of entries after which a record ends and the next begins, so that reading one entry never means reading many.</summary>
    public const int EntriesRecordBytes = 32 << 10;

    private const int EntryHeadBytes = 5;
    private const int EntriesHeadBytes = 40;
    private const int RetainedBytes = 8 << 20;

    private byte[] _buffer = new byte[64 << 10];
    private uint _records;

    /// <summary>Bytes of the batch so far, its head included.</summary>
    public int Length { get; private set; } = BatchHeader.Bytes;

    /// <summary>True if no record was added.</summary>
    public bool IsEmpty => _records == 0;

    /// <summary>Starts over with an empty batch.</summary>
    public void Clear()
    {
        Length = BatchHeader.Bytes;
        _records = 0;
        if (_buffer.Length > RetainedBytes)
        {
            _buffer = new byte[RetainedBytes];
        }
    }

    /// <summary>
    /// Adds a record with entries from <paramref name="start"/> on: as many as share one term and stay within
    /// <see cref="EntriesRecordBytes"/>, and at least one. Returns how many; <paramref name="offset"/> is where the record begins in the batch.
    /// </summary>
    public int AddEntries(GroupId group, IReadOnlyList<Entry> entries, int start, out int offset)
    {
        offset = Length;
        var term = entries[start].Term;
        var first = entries[start].Index;
        var at = offset + EntriesHeadBytes;
        var count = 0;
        while (start + count < entries.Count)
        {
            var entry = entries[start + count];
            var bytes = checked(EntryHeadBytes + entry.Payload.Length);
            if (count > 0 && (entry.Term != term || at - offset + bytes > EntriesRecordBytes))
            {
                break;
            }

            EnsureCapacity(checked(at + bytes + RecordHead.Alignment));
            _buffer[at] = (byte)entry.Kind;
            BinaryPrimitives.WriteInt32LittleEndian(_buffer.AsSpan(at + 1), entry.Payload.Length);
            entry.Payload.Span.CopyTo(_buffer.AsSpan(at + EntryHeadBytes));
            at += bytes;
            count++;
        }

        var record = Begin(RecordKind.Entries, (uint)count, at - offset);
        BinaryPrimitives.WriteUInt64LittleEndian(record[16..], group.Value);
        BinaryPrimitives.WriteUInt64LittleEndian(record[24..], first.Value);
        BinaryPrimitives.WriteUInt64LittleEndian(record[32..], term.Value);
        record[(at - offset)..].Clear();
        RecordHead.Seal(record);
        return count;
    }

    /// <summary>Adds a group's hard state.</summary>
    public void AddHardState(GroupId group, in HardState state)
    {
        var vote = state.VotedFor.Value;
        var voteBytes = vote is null ? 0 : Encoding.UTF8.GetByteCount(vote);
        // The length of the vote is stored plus one, so that 0 is no vote.
        var record = Begin(RecordKind.HardState, vote is null ? 0 : (uint)voteBytes + 1, 40 + voteBytes);
        BinaryPrimitives.WriteUInt64LittleEndian(record[16..], group.Value);
        BinaryPrimitives.WriteUInt64LittleEndian(record[24..], state.Term.Value);
        BinaryPrimitives.WriteUInt64LittleEndian(record[32..], state.Commit.Value);
        record[40..].Clear();
        _ = Encoding.UTF8.GetBytes(vote, record[40..]);
        RecordHead.Seal(record);
    }

    /// <summary>Adds a group's identity state.</summary>
    public void AddIdentity(GroupId group, IdentityState identity)
    {
        var bytes = 32;
        for (var i = 0; i < identity.Known.Count; i++)
        {
            bytes = checked(bytes + 16 + Encoding.UTF8.GetByteCount(identity.Known[i].Peer.Value ?? ""));
        }

        var record = Begin(RecordKind.Identity, (uint)identity.Known.Count, bytes);
        BinaryPrimitives.WriteUInt64LittleEndian(record[16..], group.Value);
        record[24..].Clear();
        record[24] = identity.Admitted ? (byte)1 : (byte)0;
        var rest = record[32..];
        for (var i = 0; i < identity.Known.Count; i++)
        {
            var peer = identity.Known[i];
            var name = Encoding.UTF8.GetBytes(peer.Peer.Value ?? "", rest[16..]);
            BinaryPrimitives.WriteUInt64LittleEndian(rest, peer.Incarnation.Value);
            BinaryPrimitives.WriteInt32LittleEndian(rest[8..], name);
            rest[12] = peer.ToldEmpty ? (byte)1 : (byte)0;
            rest = rest[(16 + name)..];
        }

        RecordHead.Seal(record);
    }

    /// <summary>Adds "entries up to <paramref name="through"/> are no longer needed". Its term may be 0: not known.</summary>
    public void AddReleased(GroupId group, LogBase through) => AddNumbers(RecordKind.Released, group.Value, through.Index.Value, through.Term.Value);

    /// <summary>Adds "all entries are forgotten; the log begins behind <paramref name="to"/>".</summary>
    public void AddReset(GroupId group, LogBase to) => AddNumbers(RecordKind.Reset, group.Value, to.Index.Value, to.Term.Value);

    /// <summary>Adds "the group is forgotten, with all that the log holds of it".</summary>
    public void AddForgotten(GroupId group) => AddNumbers(RecordKind.Forgotten, group.Value);

    /// <summary>Adds the last entry of a group, as it was when the segment began.</summary>
    public void AddLast(GroupId group, LogIndex index, Term term) => AddNumbers(RecordKind.Last, group.Value, index.Value, term.Value);

    /// <summary>Adds the sequence number of the oldest segment still needed.</summary>
    public void AddOldest(ulong sequence) => AddNumbers(RecordKind.Oldest, sequence);

    /// <summary>Adds the segment that follows.</summary>
    public void AddContinues(ulong sequence, ulong generation) => AddNumbers(RecordKind.Continues, sequence, generation);

    /// <summary>Puts the head in front of the records. The bytes are valid until the next change.</summary>
    /// <param name="kind">What the batch is for.</param>
    /// <param name="generation">The segment's generation.</param>
    /// <param name="durable">The offset in the segment below which everything is durable.</param>
    /// <param name="previous">The checksum of the batch before.</param>
    /// <param name="checksum">The checksum of this batch.</param>
    public ReadOnlySpan<byte> Complete(BatchKind kind, ulong generation, ulong durable, uint previous, out uint checksum)
    {
        var header = new BatchHeader(kind, _records, generation, durable, (uint)Length, previous, 0);
        checksum = header.ComputeChecksum(_buffer.AsSpan(BatchHeader.Bytes, Length - BatchHeader.Bytes), verify: false)
            ?? throw new InvalidOperationException("The batch that was built is malformed.");
        (header with { Checksum = checksum }).Write(_buffer);
        return _buffer.AsSpan(0, Length);
    }

    private void AddNumbers(RecordKind kind, params ReadOnlySpan<ulong> numbers)
    {
        var record = Begin(kind, 0, 16 + (numbers.Length * sizeof(ulong)));
        for (var i = 0; i < numbers.Length; i++)
        {
            BinaryPrimitives.WriteUInt64LittleEndian(record[(16 + (i * sizeof(ulong)))..], numbers[i]);
        }

        RecordHead.Seal(record);
    }

    private Span<byte> Begin(RecordKind kind, uint number, int bytes)
    {
        var length = RecordHead.Align(bytes);
        EnsureCapacity(checked(Length + length));
        var record = _buffer.AsSpan(Length, length);
        BinaryPrimitives.WriteInt32LittleEndian(record[4..], length);
        BinaryPrimitives.WriteUInt32LittleEndian(record[8..], (uint)kind);
        BinaryPrimitives.WriteUInt32LittleEndian(record[12..], number);
        Length += length;
        _records++;
        return record;
    }

    private void EnsureCapacity(int bytes)
    {
        if (bytes > _buffer.Length)
        {
            Array.Resize(ref _buffer, (int)Math.Min(Array.MaxLength, Math.Max(bytes, _buffer.Length * 2L)));
        }
    }
}
