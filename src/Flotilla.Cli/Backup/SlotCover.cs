using Flotilla.Topology;

namespace Flotilla.Cli.Backup;

/// <summary>
/// Which image of a backup counts for each slot: the one that owns it under the highest epoch, and of several under one epoch the last. While slots
/// move from shard to shard one may be in two images, or in none of those taken so far. With the records of what counts, and their digest. Not thread-safe.
/// </summary>
/// <remarks>
/// Each image is of one moment, and a slot's owner then has all that was ever acknowledged for it; whoever owns it under a higher epoch
/// began with that. A slot that was frozen does not count: another shard may have taken it already.
/// </remarks>
internal sealed class SlotCover
{
    private readonly uint[] _epochs = new uint[Slot.Count];
    private readonly int[] _images = new int[Slot.Count];
    private readonly (long Records, UInt128 Content)[] _counted = new (long, UInt128)[Slot.Count];
    private readonly (long Records, UInt128 Content)[] _current = new (long, UInt128)[Slot.Count];

    /// <summary>How many images there were.</summary>
    public int Images { get; private set; }

    /// <summary>Slots that no image has.</summary>
    public SlotSet Missing => SlotSet.Where(slot => _images[slot.Value] == 0);

    /// <summary>Records of what counts.</summary>
    public long Records => _counted.Sum(static slot => slot.Records);

    /// <summary>The digest of what counts.</summary>
    public UInt128 Content => _counted.Aggregate((UInt128)0, static (sum, slot) => sum + slot.Content);

    /// <summary>Which image counts for a slot, from 1; 0 for none.</summary>
    public int ImageOf(Slot slot) => _images[slot.Value];

    /// <summary>An image begins.</summary>
    public void Begin() => Array.Clear(_current);

    /// <summary>A record of the image.</summary>
    public void Add(Slot slot, UInt128 digest)
    {
        ref var current = ref _current[slot.Value];
        current = (current.Records + 1, current.Content + digest);
    }

    /// <summary>The image is whole.</summary>
    /// <param name="owned">What its shard owned.</param>
    /// <param name="frozen">Of these, what nobody served.</param>
    public void End(SlotEpochs owned, SlotSet frozen)
    {
        Images++;
        foreach (var (slot, epoch) in owned.Entries())
        {
            if (epoch.Value >= _epochs[slot.Value] && !frozen.Contains(slot))
            {
                (_epochs[slot.Value], _images[slot.Value], _counted[slot.Value]) = (epoch.Value, Images, _current[slot.Value]);
            }
        }
    }
}
