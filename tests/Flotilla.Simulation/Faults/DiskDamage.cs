using Flotilla.Simulation.Nodes;

namespace Flotilla.Simulation.Faults;

/// <summary>
/// Flips bits of what a disk has held for some time (hazard 11). The node must refuse to start, or find all that it had: what
/// is damaged there is no torn tail. The damage is then undone, as if the directory was restored from a moment ago, since
/// nobody wrote in between.
/// </summary>
internal sealed class DiskDamage(World world, Chance chance, Func<bool> stopped)
{
    private const int Later = 3;

    public void Begin()
    {
        if (Nemesis.Running(world, chance) is not { Wiped: false, Paused: false, Syncing: false } node)
        {
            return;
        }

        // Only the last batch of a log may be in doubt, since nothing behind it says that it was durable. So what is
        // damaged is what stood there some batches ago.
        var old = Files(node);
        var boot = node.Boot;
        Await(node, boot, node.Batches + Later, 100, () => Strike(node, old));
    }

    private void Await(SimulatedNode node, int boot, int batches, int patience, Action then) => world.Scheduler.After(20_000, () =>
    {
        if (stopped() || !node.Up || node.Boot != boot || patience == 0)
        {
            return;
        }

        if (node.Batches >= batches)
        {
            then();
        }
        else
        {
            Await(node, boot, batches, patience - 1, then);
        }
    });

    private void Strike(SimulatedNode node, SortedDictionary<string, byte[]> old)
    {
        node.Stop(power: chance.Hit(0.5));
        var now = Files(node);
        var (name, bytes) = now.ElementAt(chance.Below(now.Count));
        var unchanged = old.TryGetValue(name, out var before) ? bytes.AsSpan().CommonPrefixLength(before) : 0;
        if (Place(bytes, unchanged) is not { } at)
        {
            world.Scheduler.After(10_000, () => world.StartIfDown(node));
            return;
        }

        world.Count("damage");
        world.Say(node, $"has a damaged disk: {name}, offset {at}");
        var damaged = bytes.ToArray();
        if (chance.Hit(0.5))
        {
            damaged[at] ^= (byte)(1 << chance.Below(8));
        }
        else
        {
            // What is left of the sector, as far as it is old, reads as zeros.
            for (var i = at; i < unchanged && (i == at || i % 512 != 0); i++)
            {
                damaged[i] = 0;
            }
        }

        node.Disk.SetContent(name, damaged);
        var disk = node.Disk;
        node.Restore = () => disk.SetContent(name, bytes);
        world.Scheduler.After(chance.Between(10_000, 1_000_000), () => world.StartIfDown(node));
    }

    // Somewhere in what is no zero and stands before the first change: a file is written from its beginning to its end, so that
    // is what was written before. Bytes further on may be the same by chance, where a used file was written over, and in the last batch.
    private int? Place(byte[] bytes, int unchanged)
    {
        for (var tries = 0; tries < 50; tries++)
        {
            var at = chance.Below(Math.Max(1, unchanged));
            if (at < unchanged && bytes[at] != 0)
            {
                return at;
            }
        }

        return null;
    }

    private static SortedDictionary<string, byte[]> Files(SimulatedNode node)
    {
        var files = new SortedDictionary<string, byte[]>(StringComparer.Ordinal);
        foreach (var name in node.Disk.List())
        {
            files.Add(name, node.Disk.Content(name));
        }

        return files;
    }
}
