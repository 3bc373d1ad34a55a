using Flotilla.Data;
using Flotilla.Shards.ExactlyOnce;
using Flotilla.Topology;
using Version = Flotilla.Data.Version;

namespace Flotilla.Shards.Handoff;

/// <summary>
/// Puts what a chunk brings where it will be served from: records among the shard's records, where nobody sees those of a slot that
/// is not owned, idempotency keys in their table. So an Accept moves nothing, however much came. Sessions wait in the move.
/// </summary>
internal sealed class Staging(IncomingMove move, IRecordStore store, ExpiryIndex expiry, IdempotencyTable keys)
{
    /// <summary>Everything in it belongs to the move. A chunk of which that is not so has no effect.</summary>
    public bool Fits(List<ChunkItem> items)
    {
        var slots = move.Slots.Slots;
        var hasSession = move.Sessions.Count > 0;
        foreach (var item in items)
        {
            hasSession = item.Kind == ChunkItemKind.Session || (hasSession && item.Kind != ChunkItemKind.SessionsAnew);
            var fits = item.Kind switch
            {
                ChunkItemKind.SessionsAnew => true,
                ChunkItemKind.Session => item.Session.Lineage < move.Lineages.Count,
                ChunkItemKind.Result => hasSession && slots.Contains(item.Result.Slot),
                ChunkItemKind.Key => slots.Contains(item.KeyRecord.Slot),
                _ => slots.Contains(item.Slot),
            };
            if (!fits)
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>Applies the items in their order.</summary>
    public void Apply(List<ChunkItem> items)
    {
        foreach (var item in items)
        {
            switch (item.Kind)
            {
                case ChunkItemKind.Reset:
                    Reset(item.Slot);
                    break;
                case ChunkItemKind.Record:
                    Put(item);
                    break;
                case ChunkItemKind.Gone:
                    Remove(item.Slot, item.Key.Span);
                    break;
                case ChunkItemKind.Key:
                    keys.Learn(item.Lane, item.KeyRecord);
                    break;
                case ChunkItemKind.SessionsAnew:
                    move.Sessions.Clear();
                    break;
                case ChunkItemKind.Session:
                    move.Sessions.Add(item.Session);
                    break;
                case ChunkItemKind.Result:
                    move.Sessions[^1].Results.Add(item.Result);
                    break;
                default:
                    throw new InvalidOperationException($"The codec let item {item.Kind} through.");
            }
        }
    }

    /// <summary>Notes what is staged of the open moves, out of the records: an image does not hold it twice.</summary>
    public static void Restore(IEnumerable<IncomingMove> moves, IRecordView records)
    {
        var bySlot = new IncomingMove?[Slot.Count];
        foreach (var move in moves.Where(m => m.IsOpen))
        {
            move.Digests = new UInt128[move.Slots.Count];
            move.StagedKeys = new List<byte[]>?[move.Slots.Count];
            move.StagedRecords = 0;
            foreach (var slot in move.Slots.Slots.Slots())
            {
                bySlot[slot.Value] = move;
            }
        }

        if (bySlot.AsSpan().ContainsAnyExcept((IncomingMove?)null))
        {
            var visitor = new Restorer(bySlot);
            records.Visit([], ref visitor);
        }
    }

    private void Put(in ChunkItem item)
    {
        var key = item.Key.Span;
        var place = PlaceOf(item.Slot);
        if (store.TryGet(key, out var old))
        {
            move.Digests[place] -= ItemDigest.OfRecord(key, old.Value.Span, old.Version, old.ExpiresAtMs);
            expiry.Change(key, old.ExpiresAtMs, item.ExpiresAtMs);
        }
        else
        {
            Note(move, place, key);
            expiry.Change(key, 0, item.ExpiresAtMs);
        }

        store.Put(key, item.Value.Span, item.Version, item.ExpiresAtMs);
        move.Digests[place] += ItemDigest.OfRecord(key, item.Value.Span, item.Version, item.ExpiresAtMs);
    }

    private void Remove(Slot slot, ReadOnlySpan<byte> key)
    {
        if (store.TryGet(key, out var old))
        {
            move.Digests[PlaceOf(slot)] -= ItemDigest.OfRecord(key, old.Value.Span, old.Version, old.ExpiresAtMs);
            expiry.Change(key, old.ExpiresAtMs, 0);
            store.Remove(key);
            move.StagedRecords--;
        }
    }

    private void Reset(Slot slot)
    {
        var place = PlaceOf(slot);
        foreach (var key in move.StagedKeys[place] ?? [])
        {
            Remove(slot, key);
        }

        move.StagedKeys[place] = null;
        if (move.Digests[place] != 0)
        {
            throw new InvalidOperationException($"Slot {slot} has nothing staged any more, and the digest {move.Digests[place]}.");
        }
    }

    private int PlaceOf(Slot slot) => move.Slots.Slots.CountBelow(slot);

    private static void Note(IncomingMove move, int place, ReadOnlySpan<byte> key)
    {
        (move.StagedKeys[place] ??= []).Add(key.ToArray());
        move.StagedRecords++;
    }

    private struct Restorer(IncomingMove?[] bySlot) : IRecordVisitor
    {
        public readonly bool Visit(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, Version version, long expiresAtMs)
        {
            var slot = Slot.Of(key);
            if (bySlot[slot.Value] is { } move)
            {
                var place = move.Slots.Slots.CountBelow(slot);
                Note(move, place, key);
                move.Digests[place] += ItemDigest.OfRecord(key, value, version, expiresAtMs);
            }

            return true;
        }
    }
}
