using System.Buffers;
using Flotilla.Shards.ExactlyOnce;
using Flotilla.Topology;

namespace Flotilla.Cli.Backup;

/// <summary>Gathers idempotency keys of a backup by slot, as many as one put takes. Those whose life is over are left out.</summary>
internal sealed class KeyBatches
{
    private readonly Dictionary<Slot, (ArrayBufferWriter<byte> Body, int Count)> _bySlot = [];
    private readonly List<(byte[] Key, byte[] Body, int Count)> _full = [];

    /// <summary>Adds one.</summary>
    public void Add(RestoredKey key)
    {
        if (key.DueMs <= DateTimeOffset.UtcNow.ToUnixTimeMilliseconds())
        {
            return;
        }

        var (body, count) = _bySlot.TryGetValue(key.Slot, out var batch) ? batch : (new ArrayBufferWriter<byte>(), 0);
        body.Write(key.Encoded.Span);
        _bySlot[key.Slot] = (body, ++count);
        if (count == RestoredKeys.MaxPerCommand)
        {
            Close(key.Slot);
        }
    }

    /// <summary>Hands out, once, the batches that are full, or <paramref name="all"/>: a key in their slot, their body, and how many keys that holds.</summary>
    public IReadOnlyList<(byte[] Key, byte[] Body, int Count)> Take(bool all)
    {
        if (all)
        {
            foreach (var slot in _bySlot.Keys.ToArray())
            {
                Close(slot);
            }
        }

        (byte[] Key, byte[] Body, int Count)[] taken = [.. _full];
        _full.Clear();
        return taken;
    }

    private void Close(Slot slot)
    {
        _ = _bySlot.Remove(slot, out var batch);
        _full.Add((RestoredKeys.KeyIn(slot), batch.Body.WrittenSpan.ToArray(), batch.Count));
    }
}
