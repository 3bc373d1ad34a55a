using System.Buffers;
using Flotilla.Data;
using Flotilla.Raft;
using Flotilla.Shards.ExactlyOnce;
using Flotilla.Shards.Handoff;
using Flotilla.Topology;
using Version = Flotilla.Data.Version;

namespace Flotilla.Shards.Image;

/// <summary>
/// Builds a state machine from the blocks of an image, in their order. Whatever can be told from the blocks themselves is
/// checked, so that damage which slipped through a checksum ends here and not in a state that differs from the other
/// replicas'. What the state machine derives (when records, sessions and keys fall due) is built anew. Not thread-safe.
/// </summary>
/// <remarks>No memory is set aside for lengths and counts that a block claims: it grows with the bytes that come.</remarks>
public sealed class ImageReader
{
    private readonly SessionTable _sessions = new();
    private readonly RecordLoader _records;
    private readonly bool _passes;
    private SlotEpochs _slots = SlotEpochs.Empty;
    private readonly ArrayBufferWriter<byte> _value = new(); // of the large record at hand
    private readonly ArrayBufferWriter<byte> _ownershipBytes = new();
    private Ownership? _ownership;
    private Header _header;
    private SessionBlocksReader? _sessionBlocks;
    private KeyBlocksReader? _keyBlocks;
    private readonly IdempotencyTable _keys = new();
    private (ReadOnlyMemory<byte> Key, Version Version, long ExpiresAtMs, int ValueBytes)? _large;
    private BlockKind? _last;
    private long _number;
    private bool _isBroken;
    private bool _isComplete;
    private StateMachine? _machine;
    private readonly Action<RestoredKey>? _keyHandler;

    /// <summary>A reader at the first block.</summary>
    /// <param name="store">An empty engine for the records, used by nobody else; null for the copy-on-write tree, which is then built with full leaves.</param>
    public ImageReader(IRecordStore? store = null)
    {
        _records = new RecordLoader(store);
    }

    private ImageReader(ImageRecordHandler? handler, Action<RestoredKey>? keyHandler)
    {
        _passes = true;
        _keyHandler = keyHandler;
        _records = new RecordLoader(null, passes: true, handler is null ? null : (key, value, version, expiresAtMs) =>
        {
            if (OwnedSlots.Contains(Slot.Of(key)))
            {
                handler(key, value, version, expiresAtMs);
            }
        });
    }

    /// <summary>
    /// A reader that keeps neither records nor idempotency keys, however large the image, and has no <see cref="Machine"/> in
    /// the end: it checks all that the other kind checks, and shows each record of a slot that
    /// the shard owned to <paramref name="handler"/>, and each idempotency key of one to <paramref name="keyHandler"/>, while
    /// <see cref="Read(ReadOnlyMemory{byte})"/> runs. What was shown is in the image only if the image comes to be complete.
    /// </summary>
    public static ImageReader Passing(ImageRecordHandler? handler, Action<RestoredKey>? keyHandler = null) => new(handler, keyHandler);

    /// <summary>True when the last block was read.</summary>
    public bool IsComplete => _isComplete;

    /// <summary>The state machine, as it was when the image was taken. Throws before <see cref="IsComplete"/>, and for <see cref="Passing"/>.</summary>
    public StateMachine Machine => _machine ?? throw new InvalidOperationException(_passes ? "The records were passed on." : "The image is not complete.");

    /// <summary>How many records there are in the image, by its header; known from the first block on.</summary>
    public long RecordsAnnounced => _header.Records;

    /// <summary>The slots that the shard owned; known from the second block on. Of others there may be records in the image, which are nobody's to read.</summary>
    public SlotSet OwnedSlots => _slots.Slots;

    /// <summary><see cref="OwnedSlots"/> with their epochs.</summary>
    public SlotEpochs OwnedEpochs => _slots;

    /// <summary>Those of them that were in a move past its Freeze, and perhaps another shard's already; known from the first block behind those of the ownership on, as <see cref="KnowsOwnership"/> says.</summary>
    public SlotSet FrozenSlots => _ownership?.Frozen ?? SlotSet.Empty;

    /// <summary>What the image says of slots is known: of an image that is read for that, the rest may be left.</summary>
    public bool KnowsOwnership => _ownership is not null;

    /// <summary>The configuration that was given when the image was taken; known from the first block on.</summary>
    public ReadOnlyMemory<byte> Configuration => _header.Configuration;

    /// <summary>Reads the next block. Its memory may be used again afterwards.</summary>
    /// <exception cref="MalformedImageException">It is not the next block of an image. The reader is of no use any more.</exception>
    public void Read(ReadOnlyMemory<byte> block)
    {
        if (_isBroken || IsComplete)
        {
            throw new InvalidOperationException(_isBroken ? "An earlier block was malformed." : "The image was complete already.");
        }

        _isBroken = true;
        try
        {
            var reader = new EncodedReader<MalformedImageException>(block);
            Read(ref reader);
        }
        catch (MalformedImageException e) when (e.Block < 0)
        {
            throw new MalformedImageException(e.What, _number, e.Offset);
        }

        _number++;
        _isBroken = false;
    }

    private void Read(ref EncodedReader<MalformedImageException> reader)
    {
        reader.Require(reader.Varint(long.MaxValue) == (ulong)_number, $"it is not block {_number}");
        var kind = (BlockKind)reader.Byte();
        reader.Require(MayFollow(kind), $"a block of kind {kind} cannot follow one of kind {_last?.ToString() ?? "none"}");
        _last = kind;
        if (kind is not (BlockKind.Header or BlockKind.Slots or BlockKind.Ownership))
        {
            _ownership ??= _header.Format < 3 ? new Ownership(_slots) : OwnershipCodec.Decode(_ownershipBytes.WrittenMemory, _slots, _header.Format);
        }

        var from = reader.At;
        switch (kind)
        {
            case BlockKind.Header:
                _header = Header.Read(ref reader);
                _sessionBlocks = new SessionBlocksReader(_sessions, _header.Format, _header.LastApplied, _header.LogTimeMs);
                _keyBlocks = new KeyBlocksReader(_passes ? Show : _keys.Add, _header.Format, _header.LogTimeMs);
                break;
            case BlockKind.Slots:
                ReadSlots(ref reader);
                break;
            case BlockKind.Ownership:
                _ownershipBytes.Write(reader.Take(reader.Remaining).Span);
                break;
            case BlockKind.Sessions:
                _sessionBlocks!.Read(ref reader);
                break;
            case BlockKind.Keys:
                _keyBlocks!.Read(ref reader);
                break;
            case BlockKind.Records:
                ReadRecords(ref reader);
                break;
            case BlockKind.LargeRecord:
                ReadLargeRecord(ref reader);
                break;
            case BlockKind.Piece:
                ReadPiece(ref reader);
                break;
            default:
                Complete(ref reader);
                return;
        }

        reader.Require(reader.Remaining == 0, "bytes follow its content");
        reader.Require(reader.At > from, "it has no content");
    }

    // Header, slots, the rest of the ownership, then what there is of sessions, keys and records in this order, then the end. What was begun is ended first.
    private bool MayFollow(BlockKind kind) => _last switch
    {
        null => kind == BlockKind.Header,
        BlockKind.Header => kind == BlockKind.Slots,
        _ when _large is not null => kind == BlockKind.Piece,
        BlockKind.Sessions when !_sessionBlocks!.IsComplete => kind == BlockKind.Sessions,
        BlockKind.Slots when _header.Format > 2 => kind == BlockKind.Ownership,
        BlockKind.Ownership when kind == BlockKind.Ownership => true,
        BlockKind.Slots or BlockKind.Ownership or BlockKind.Sessions => kind is BlockKind.Sessions or BlockKind.Keys or BlockKind.Records or BlockKind.LargeRecord or BlockKind.End,
        BlockKind.Keys => kind is BlockKind.Keys or BlockKind.Records or BlockKind.LargeRecord or BlockKind.End,
        _ => kind is BlockKind.Records or BlockKind.LargeRecord or BlockKind.End,
    };

    private void Show(int lane, in KeyRecord key)
    {
        if (_keyHandler is not null && OwnedSlots.Contains(key.Slot))
        {
            _keyHandler(RestoredKeys.Of(in key));
        }
    }

    private void ReadSlots(ref EncodedReader<MalformedImageException> reader)
    {
        var runs = new List<(SlotEpoch Epoch, int Count)>();
        for (var slot = 0; slot < Slot.Count;)
        {
            var epoch = new SlotEpoch((uint)reader.Varint(uint.MaxValue));
            var run = reader.Int32(1, Slot.Count - slot);
            reader.Require(slot == 0 || runs[^1].Epoch != epoch, "two neighbouring runs of slots are one");
            runs.Add((epoch, run));
            slot += run;
        }

        _slots = SlotEpochs.OfRuns(runs);
    }

    private void ReadRecords(ref EncodedReader<MalformedImageException> reader)
    {
        while (reader.Remaining > 0)
        {
            var key = ReadKey(ref reader, _records);
            var version = reader.Version();
            var expiresAtMs = (long)reader.Varint(long.MaxValue);
            _records.Add(key.Span, reader.Bytes().Span, version, expiresAtMs);
        }
    }

    private void ReadLargeRecord(ref EncodedReader<MalformedImageException> reader)
    {
        var key = ReadKey(ref reader, _records).ToArray();
        var version = reader.Version();
        _large = (key, version, (long)reader.Varint(long.MaxValue), reader.Int32(1, int.MaxValue));
        _value.ResetWrittenCount();
        ReadPiece(ref reader);
    }

    private void ReadPiece(ref EncodedReader<MalformedImageException> reader)
    {
        var (key, version, expiresAtMs, valueBytes) = _large!.Value;
        reader.Require(reader.Remaining <= valueBytes - _value.WrittenCount, "a value is longer than announced");
        _value.Write(reader.Take(reader.Remaining).Span);
        if (_value.WrittenCount == valueBytes)
        {
            _records.Add(key.Span, _value.WrittenSpan, version, expiresAtMs);
            _large = null;
        }
    }

    private static ReadOnlyMemory<byte> ReadKey(ref EncodedReader<MalformedImageException> reader, RecordLoader into)
    {
        var key = reader.Bytes();
        reader.Require(key.Length is > 0 and <= ExpiryIndex.MaxKeyBytes, "a key is empty or too long");
        reader.Require(into.IsNext(key.Span), "keys are out of order");
        return key;
    }

    private void Complete(ref EncodedReader<MalformedImageException> reader)
    {
        reader.Require(reader.Remaining == 0, "bytes follow the end");
        reader.Require(
            _sessions.Count == _header.Sessions && _sessions.ResultCount == _header.Results && _keyBlocks!.Count == _header.Keys && _records.Count == _header.Records,
            $"the header announced {_header}, and there came {_sessions.Count} sessions, {_sessions.ResultCount} results, {_keyBlocks!.Count} keys and {_records.Count} records");
        _isComplete = true;
        if (_passes)
        {
            return;
        }

        _machine = new StateMachine(_records.Finish(), _records.Due, _ownership!, _sessions, _keys, _header.LastApplied, _header.LastTerm, _header.LogTimeMs);
    }

    private readonly record struct Header(byte Format, LogIndex LastApplied, Term LastTerm, long LogTimeMs, long Sessions, long Results, long Keys, long Records, ReadOnlyMemory<byte> Configuration)
    {
        public static Header Read(ref EncodedReader<MalformedImageException> reader)
        {
            reader.Require(reader.Remaining > ImageFormat.Magic.Length && reader.Take(ImageFormat.Magic.Length).Span.SequenceEqual(ImageFormat.Magic), "this is no state image");
            var format = reader.Byte();
            reader.Require(format is > 0 and <= ImageFormat.Version, $"the format is {format}, and this program knows 1 to {ImageFormat.Version}");
            var header = new Header(
                format,
                new LogIndex(reader.Varint(ulong.MaxValue)),
                new Term(reader.Varint(ulong.MaxValue)),
                (long)reader.Varint(long.MaxValue),
                (long)reader.Varint(int.MaxValue),
                (long)reader.Varint(long.MaxValue),
                (long)reader.Varint(long.MaxValue),
                (long)reader.Varint(long.MaxValue),
                reader.Bytes().ToArray());
            reader.Require(header.Configuration.Length <= StateImage.MaxConfigurationBytes, "the configuration is too long");
            return header;
        }

        public override string ToString() => $"{Sessions} sessions, {Results} results, {Keys} keys and {Records} records";
    }
}
