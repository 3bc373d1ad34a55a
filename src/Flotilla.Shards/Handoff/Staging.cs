using System.Buffers.Binary;
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
                ChunkItemKind.Session => item.Session!.Lineage < move.Lineages.Count,
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
                    Remove(item.Slot, item.Key.Span);
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
                    move.Sessions.Add(item.Session!);
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
            move.Staged = new BTree();
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

    private static byte[] Under(Slot slot, ReadOnlySpan<byte> key)
    {
        var under = new byte[sizeof(ushort) + key.Length];
        BinaryPrimitives.WriteUInt16BigEndian(under, slot.Value);
        key.CopyTo(under.AsSpan(sizeof(ushort)));
        return under;
    }

    private ref UInt128 DigestOf(Slot slot) => ref move.Digests[move.Slots.Slots.CountBelow(slot)];

    private void Put(in ChunkItem item)
    {
        store.Put(item.Key.Span, item.Value.Span, item.Version, item.ExpiresAtMs);
        expiry.Change(item.Key.Span, 0, item.ExpiresAtMs);
        move.Staged!.Put(Under(item.Slot, item.Key.Span), [], Version.None, 0);
        DigestOf(item.Slot) += ItemDigest.OfRecord(item.Key.Span, item.Value.Span, item.Version, item.ExpiresAtMs);
    }

    private void Remove(Slot slot, ReadOnlySpan<byte> key)
    {
        if (store.TryGet(key, out var old))
        {
            DigestOf(slot) -= ItemDigest.OfRecord(key, old.Value.Span, old.Version, old.ExpiresAtMs);
            expiry.Change(key, old.ExpiresAtMs, 0);
            store.Remove(key);
            move.Staged!.Remove(Under(slot, key));
        }
    }

    private void Reset(Slot slot)
    {
        var staged = new KeysOf();
        move.Staged!.VisitPrefix(Under(slot, []), [], ref staged);
        foreach (var key in staged.Keys)
        {
            Remove(slot, key.AsSpan(sizeof(ushort)));
        }

        if (DigestOf(slot) != 0)
        {
            throw new InvalidOperationException($"Slot {slot} has nothing staged any more, and the digest {DigestOf(slot)}.");
        }
    }

    private struct Restorer(IncomingMove?[] bySlot) : IRecordVisitor
    {
        public readonly bool Visit(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, Version version, long expiresAtMs)
        {
            var slot = Slot.Of(key);
            if (bySlot[slot.Value] is { } move)
            {
                move.Staged!.Put(Under(slot, key), [], Version.None, 0);
                move.Digests[move.Slots.Slots.CountBelow(slot)] += ItemDigest.OfRecord(key, value, version, expiresAtMs);
            }

            return true;
        }
    }
}
