using Flotilla.Data;
using Flotilla.Shards.ExactlyOnce;
using Flotilla.Topology;
using Version = Flotilla.Data.Version;

namespace Flotilla.Shards.Handoff;

/// <summary>One pass over a part of what belongs to a move's slots, that can be interrupted anywhere.</summary>
internal abstract class SlotPass
{
    /// <summary>Goes on, until the chunk has so many bytes or so many items were looked at.</summary>
    /// <returns>True when it is through.</returns>
    public abstract bool Advance(EncodedWriter chunk, int chunkBytes, ref int looks);
}

/// <summary>
/// All records of a view, in key order: adds those of the move's slots to the slots' digests, and sends those of some of the
/// slots. One scan picks out all slots of a batch, since records are ordered by key and slots are hashes.
/// </summary>
/// <param name="view">The records.</param>
/// <param name="slots">The move's slots.</param>
/// <param name="digests">Added to by slot's place; null if they are known.</param>
/// <param name="sent">Slots that are sent; none for a pass that only compares.</param>
/// <param name="done">Told how many records were looked at, and how many of them were sent.</param>
internal sealed class RecordScan(IRecordView view, SlotPlaces slots, UInt128[]? digests, SlotSet sent, Action<int, int> done) : SlotPass
{
    private byte[] _from = [];

    public override bool Advance(EncodedWriter chunk, int chunkBytes, ref int looks)
    {
        var visitor = new Visitor(slots, digests, sent, chunk, chunkBytes, looks);
        view.Visit(_from, ref visitor);
        done(looks - visitor.Looks, visitor.Sent);
        looks = visitor.Looks;
        _from = visitor.Next ?? [];
        return visitor.Next is null;
    }

    private struct Visitor(SlotPlaces slots, UInt128[]? digests, SlotSet sent, EncodedWriter chunk, int chunkBytes, int looks) : IRecordVisitor
    {
        public int Looks { get; private set; } = looks;

        public int Sent { get; private set; }

        /// <summary>Where to go on; null at the end.</summary>
        public byte[]? Next { get; private set; }

        public bool Visit(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, Version version, long expiresAtMs)
        {
            if (Looks == 0 || chunk.Length >= chunkBytes)
            {
                Next = key.ToArray();
                return false;
            }

            Looks--;
            var slot = Slot.Of(key);
            var place = slots.PlaceOf(slot);
            if (place >= 0)
            {
                if (digests is not null)
                {
                    digests[place] += ItemDigest.OfRecord(key, value, version, expiresAtMs);
                }

                if (sent.Contains(slot))
                {
                    Chunk.Record(chunk, key, value, version, expiresAtMs);
                    Sent++;
                }
            }

            return true;
        }
    }
}

/// <summary>What differs between two views: sends it, tells how much that was, and keeps the slots' digests up with it.</summary>
internal sealed class RecordChanges(IRecordView older, IRecordView newer, SlotPlaces slots, UInt128[] digests, Action<int> done) : SlotPass
{
    private byte[] _from = [];

    public override bool Advance(EncodedWriter chunk, int chunkBytes, ref int looks)
    {
        var visitor = new Visitor(slots, digests, chunk, chunkBytes, looks);
        newer.VisitChanges(older, _from, ref visitor);
        done(visitor.Sent);
        looks = visitor.Looks;
        _from = visitor.Next ?? [];
        return visitor.Next is null;
    }

    private struct Visitor(SlotPlaces slots, UInt128[] digests, EncodedWriter chunk, int chunkBytes, int looks) : IChangeVisitor
    {
        public int Looks { get; private set; } = looks;

        public int Sent { get; private set; }

        public byte[]? Next { get; private set; }

        public bool Visit(in Record? older, in Record? newer)
        {
            var key = (newer ?? older)!.Value.Key;
            if (Looks == 0 || chunk.Length >= chunkBytes)
            {
                Next = key.ToArray();
                return false;
            }

            Looks--;
            var place = slots.PlaceOf(Slot.Of(key.Span));
            if (place < 0)
            {
                return true;
            }

            Sent++;
            if (older is { } old)
            {
                digests[place] -= ItemDigest.OfRecord(key.Span, old.Value.Span, old.Version, old.ExpiresAtMs);
            }

            if (newer is { } now)
            {
                digests[place] += ItemDigest.OfRecord(key.Span, now.Value.Span, now.Version, now.ExpiresAtMs);
                Chunk.Record(chunk, key.Span, now.Value.Span, now.Version, now.ExpiresAtMs);
            }
            else
            {
                Chunk.Gone(chunk, key.Span);
            }

            return true;
        }
    }
}

/// <summary>The idempotency keys of the move's slots that were added since an older image.</summary>
internal sealed class KeyScan(KeyImage image, KeyImage? older, SlotPlaces slots) : SlotPass
{
    private readonly List<KeyImage.Run> _runs = [.. image.Since(older)];
    private int _run;
    private int _done;

    public override bool Advance(EncodedWriter chunk, int chunkBytes, ref int looks)
    {
        for (; _run < _runs.Count; _run++, _done = 0)
        {
            var run = _runs[_run];
            for (; run.From + _done < run.To; _done++)
            {
                if (looks == 0 || chunk.Length >= chunkBytes)
                {
                    return false;
                }

                looks--;
                var key = run.Page[run.From + _done];
                if (slots.PlaceOf(key.Slot) >= 0)
                {
                    Chunk.Key(chunk, run.Lane, in key);
                }
            }
        }

        return true;
    }
}

/// <summary>Slots whose staging goes before they are sent whole.</summary>
internal sealed class Resets(SlotSet slots) : SlotPass
{
    // Each takes the target as long as the slot has records there.
    private const int PerChunk = 64;

    private readonly Slot[] _slots = [.. slots.Slots()];
    private int _next;

    public override bool Advance(EncodedWriter chunk, int chunkBytes, ref int looks)
    {
        for (var n = 0; n < PerChunk && _next < _slots.Length; n++, _next++)
        {
            Chunk.Reset(chunk, _slots[_next]);
        }

        looks = chunk.Length > 0 ? 0 : looks; // The chunk goes as it is.
        return _next == _slots.Length;
    }
}

/// <summary>The sessions, as they were when the slots were frozen.</summary>
internal sealed class SessionScan(IReadOnlyList<CopiedSession> sessions) : SlotPass
{
    private int _session = -1;
    private int _result = -1; // -1: the session itself comes next

    public override bool Advance(EncodedWriter chunk, int chunkBytes, ref int looks)
    {
        if (_session < 0)
        {
            Chunk.SessionsAnew(chunk);
            _session = 0;
        }

        while (_session < sessions.Count)
        {
            if (chunk.Length >= chunkBytes)
            {
                return false;
            }

            var session = sessions[_session];
            if (_result < 0)
            {
                Chunk.Session(chunk, session);
            }
            else
            {
                Chunk.Result(chunk, session.Results[_result]);
            }

            if (++_result == session.Results.Count)
            {
                _session++;
                _result = -1;
            }
        }

        return true;
    }
}

/// <summary>The place of each slot among those of a move, below 0 for others; quicker than to count.</summary>
internal sealed class SlotPlaces
{
    private readonly short[] _places = new short[Slot.Count];

    public SlotPlaces(SlotSet slots)
    {
        _places.AsSpan().Fill(-1);
        short place = 0;
        foreach (var slot in slots.Slots())
        {
            _places[slot.Value] = place++;
        }
    }

    public int PlaceOf(Slot slot) => _places[slot.Value];
}
