using Flotilla.Data;
using Flotilla.Shards.ExactlyOnce;
using Flotilla.Topology;

namespace Flotilla.Shards.Handoff;

/// <summary>
/// Turns what belongs to a move's slots into chunks for one attempt: views of the state one after the other, whole or as what has
/// changed since the one before, and in the end the sessions. Knows the digest of each slot as the target has it once all chunks
/// so far are staged.
/// </summary>
/// <remarks>
/// What changed between two views is found by walking both (<see cref="IRecordView.VisitChanges"/>), so the state machine notes
/// nothing down while a move is open, and memory is bounded by what copying on write keeps: pages that were written since the
/// last view, for as long as one round takes.
/// </remarks>
internal sealed class MoveContent(SlotEpochs slots)
{
    private readonly SlotPlaces _places = new(slots.Slots);
    private readonly UInt128[] _digests = new UInt128[slots.Count];
    private readonly Queue<SlotPass> _passes = [];
    private readonly EncodedWriter _chunk = new(64 << 10);
    private IRecordView? _view;
    private KeyImage? _keys;
    private UInt128 _sessions;

    /// <summary>Everything up to the last view is in chunks that were handed out.</summary>
    public bool IsDone => _passes.Count == 0 && _chunk.Length == 0;

    /// <summary>Records looked at in scans of a whole view.</summary>
    public long Looked { get; private set; }

    /// <summary>Records to look at in them.</summary>
    public long ToLook { get; private set; }

    /// <summary>Records that were sent, and those that were sent to be gone; one that changed again counts again.</summary>
    public long Sent { get; private set; }

    /// <summary>Only reckons the digests of a view, to be compared with what is staged.</summary>
    public void Compare(IRecordView view)
    {
        _view = view;
        ToLook += view.Count;
        _passes.Enqueue(new RecordScan(view, _places, _digests, SlotSet.Empty, Scanned));
    }

    /// <summary>Sends every slot whole, to a target that has nothing of them.</summary>
    public void SendAll(IRecordView view, KeyImage keys)
    {
        _view = view;
        _keys = keys;
        ToLook += view.Count;
        _passes.Enqueue(new RecordScan(view, _places, _digests, slots.Slots, Scanned));
        _passes.Enqueue(new KeyScan(keys, null, _places));
    }

    /// <summary>After <see cref="Compare"/>: sends those slots whole of which something else is staged.</summary>
    public void SendDiffering(IReadOnlyList<UInt128> staged, KeyImage keys)
    {
        _keys = keys;
        var differ = SlotSet.Where(s => _places.PlaceOf(s) is >= 0 and var place && staged[place] != _digests[place]);
        var toReset = SlotSet.Where(s => differ.Contains(s) && staged[_places.PlaceOf(s)] != 0);
        _passes.Enqueue(new Resets(toReset));
        if (!differ.IsEmpty)
        {
            ToLook += _view!.Count;
            _passes.Enqueue(new RecordScan(_view, _places, null, differ, Scanned));
        }

        _passes.Enqueue(new KeyScan(keys, null, _places));
    }

    /// <summary>Sends what has changed since the last view.</summary>
    public void SendChanges(IRecordView view, KeyImage keys)
    {
        _passes.Enqueue(new RecordChanges(_view!, view, _places, _digests, n => Sent += n));
        _passes.Enqueue(new KeyScan(keys, _keys, _places));
        _view = view;
        _keys = keys;
    }

    /// <summary>Sends the sessions.</summary>
    public void SendSessions(IReadOnlyList<CopiedSession> sessions)
    {
        _sessions = 0;
        foreach (var session in sessions)
        {
            _sessions += session.Digest();
        }

        _passes.Enqueue(new SessionScan(sessions));
    }

    /// <summary>The next chunk, if one is full or the last one of what is to be sent; null if there is none yet.</summary>
    /// <param name="chunkBytes">When a chunk is full.</param>
    /// <param name="looks">How many items may be looked at.</param>
    public byte[]? Next(int chunkBytes, ref int looks)
    {
        while (_passes.TryPeek(out var pass) && looks > 0 && _chunk.Length < chunkBytes)
        {
            if (pass.Advance(_chunk, chunkBytes, ref looks))
            {
                _passes.Dequeue();
            }
        }

        if (_chunk.Length == 0 || (_passes.Count > 0 && _chunk.Length < chunkBytes && _passes.Peek() is not Resets))
        {
            return null;
        }

        var chunk = _chunk.ToArray();
        _chunk.Clear();
        return chunk;
    }

    /// <summary>The digest of the whole move, once everything is sent.</summary>
    public UInt128 Digest(long logTimeMs) => ItemDigest.OfMove(slots, _digests, _sessions, logTimeMs);

    private void Scanned(int looked, int sent)
    {
        Looked += looked;
        Sent += sent;
    }
}
