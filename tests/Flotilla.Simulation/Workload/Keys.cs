using System.Text;
using Flotilla.Topology;

namespace Flotilla.Simulation.Workload;

/// <summary>The keys of a run: few enough that clients meet, some of each kind in each shard.</summary>
public sealed class Keys
{
    private const int RegistersPerShard = 3;
    private const double OfMovingSlots = 0.6;
    private const int FillingPerShard = 40;

    /// <summary>Finds keys for every shard.</summary>
    public Keys(World world)
    {
        foreach (var shard in world.Genesis.Shards)
        {
            Registers.AddRange(Find(world, shard.Shard, "r", RegistersPerShard));
            Counters.AddRange(Find(world, shard.Shard, "c", world.Options.Moves ? 3 : 1));
            Expiring.AddRange(Find(world, shard.Shard, "t", 2));
            Filling.AddRange(world.Options.Moves ? Find(world, shard.Shard, "x", FillingPerShard) : []);
            Final.Add((shard.Shard, Find(world, shard.Shard, "f", 1)[0]));
        }
    }

    /// <summary>Keys that are put, read, deleted and swapped.</summary>
    public List<string> Registers { get; } = [];

    /// <summary>Keys that are counted up.</summary>
    public List<string> Counters { get; } = [];

    /// <summary>Keys whose records expire; not in the history, but in the state that replicas must agree on.</summary>
    public List<string> Expiring { get; } = [];

    /// <summary>Keys that are written once, so that there is something to move; at the end they must all be there.</summary>
    public List<string> Filling { get; } = [];

    /// <summary>One key per shard that only the healing writes.</summary>
    public List<(ShardId Shard, string Key)> Final { get; } = [];

    /// <summary>The key's slot is in a move that is not decided.</summary>
    public static bool IsMoving(World world, string key) => world.Meaning is { Moving.IsEmpty: false } meaning && meaning.Moving.Contains(Slot.Of(Bytes(key)));

    /// <summary>One of some keys; often one whose slot is moving, if there are any, or few would ask for those.</summary>
    public static string Pick(World world, Chance chance, IReadOnlyList<string> keys)
    {
        if (world.Meaning is { Moving.IsEmpty: false } && chance.Hit(OfMovingSlots))
        {
            var moving = keys.Where(k => IsMoving(world, k)).ToList();
            return moving.Count > 0 ? chance.Pick(moving) : chance.Pick(keys);
        }

        return chance.Pick(keys);
    }

    /// <summary>A key's or value's bytes.</summary>
    public static byte[] Bytes(string text) => Encoding.UTF8.GetBytes(text);

    /// <summary>The text of bytes.</summary>
    public static string Text(ReadOnlyMemory<byte> bytes) => Encoding.UTF8.GetString(bytes.Span);

    /// <summary>A value without its padding.</summary>
    public static string Short(string? text) => text is null ? "" : text.TrimEnd('.');

    private static List<string> Find(World world, ShardId shard, string prefix, int count)
    {
        var found = new List<string>();
        for (var i = 0; found.Count < count; i++)
        {
            var key = $"{prefix}{i}";
            if (world.OwnerOf(Bytes(key)) == shard)
            {
                found.Add(key);
            }
        }

        return found;
    }
}
