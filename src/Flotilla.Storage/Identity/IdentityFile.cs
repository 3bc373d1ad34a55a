using System.Buffers;
using System.Globalization;
using System.Text;
using System.Text.Json;
using Flotilla.Raft;
using Flotilla.Shards;
using Flotilla.Storage.Disk;
using Flotilla.Topology;
using Flotilla.Topology.Descriptors;
using Flotilla.Wire.Log;

namespace Flotilla.Storage.Identity;

/// <summary>
/// The file <c>identity.json</c>: one JSON document whose last property is the CRC32C of all bytes before it. It is
/// replaced whole: written beside, synced, renamed, and the directory synced, so that a crash leaves the old or the new one.
/// </summary>
public static class IdentityFile
{
    /// <summary>The file's name.</summary>
    public const string Name = "identity.json";

    private const string TemporaryName = Name + ".tmp";
    private const int Format = 2;

    // Without a nonce, and without a word of whether the node entered its cluster.
    private const int FirstFormat = 1;
    private const int MaxBytes = 1 << 20;

    // The file ends in this, eight hexadecimal digits, and the end of the document.
    private static readonly byte[] ChecksumStart = ",\"crc32c\":\""u8.ToArray();
    private static readonly byte[] ChecksumEnd = "\"}\n"u8.ToArray();

    /// <summary>Whether there is one.</summary>
    public static bool Exists(IDisk disk)
    {
        ArgumentNullException.ThrowIfNull(disk);
        return disk.List().Contains(Name, StringComparer.Ordinal);
    }

    /// <summary>Reads it. Throws <see cref="DataDirectoryException"/> if it is damaged or of a newer format.</summary>
    public static NodeIdentity Read(IDisk disk)
    {
        ArgumentNullException.ThrowIfNull(disk);
        byte[] bytes;
        using (var file = disk.Open(Name))
        {
            bytes = new byte[Math.Min(file.Length, MaxBytes)];
            _ = file.Read(0, bytes);
        }

        var path = disk.PathOf(Name);
        var tail = ChecksumStart.Length + 8 + ChecksumEnd.Length;
        if (bytes.Length < tail
            || !bytes.AsSpan()[^tail..].StartsWith(ChecksumStart)
            || !bytes.AsSpan().EndsWith(ChecksumEnd)
            || !bytes.AsSpan(bytes.Length - ChecksumEnd.Length - 8, 8).SequenceEqual(Encoding.ASCII.GetBytes(Checksum(bytes.AsSpan()[..^tail]))))
        {
            throw Damaged(path, "its checksum does not fit");
        }

        try
        {
            using var document = JsonDocument.Parse(bytes);
            var root = document.RootElement;
            var format = root.GetProperty("format").GetInt32();
            if (format is < FirstFormat or > Format)
            {
                throw new DataDirectoryException($"{path} is of format {format}; this program reads formats {FirstFormat} to {Format}. Nothing was changed. Start the node with the version that wrote it.");
            }

            return Parse(root, format);
        }
        catch (Exception e) when (e is JsonException or KeyNotFoundException or FormatException or InvalidOperationException or OverflowException)
        {
            throw Damaged(path, e.Message);
        }
    }

    /// <summary>Replaces it durably.</summary>
    public static void Write(IDisk disk, NodeIdentity identity)
    {
        ArgumentNullException.ThrowIfNull(disk);
        ArgumentNullException.ThrowIfNull(identity);
        if (disk.List().Contains(TemporaryName, StringComparer.Ordinal))
        {
            disk.Delete(TemporaryName);
        }

        using (var file = disk.Open(TemporaryName))
        {
            file.Write(0, Encode(identity));
            file.Sync();
        }

        disk.Rename(TemporaryName, Name);
        disk.SyncDirectory();
    }

    private static byte[] Encode(NodeIdentity identity)
    {
        var buffer = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(buffer))
        {
            json.WriteStartObject();
            json.WriteNumber("format", Format);
            json.WriteString("node", identity.Node.Value);
            json.WriteString("incarnation", Hex(identity.Incarnation.Value));
            json.WriteString("clusterId", Hex(identity.ClusterId));
            json.WriteNumber("bootNumber", identity.BootNumber);
            json.WriteBoolean("hasLog", identity.HasLog);
            json.WriteBoolean("hasEntered", identity.HasEntered);
            json.WriteStartObject("genesis");
            WriteNodes(json, "initialCluster", identity.Genesis.Members);
            json.WriteNumber("shards", identity.Genesis.Shards);
            json.WriteNumber("replicas", identity.Genesis.Replicas);
            json.WriteString("nonce", Hex(identity.Genesis.Nonce));
            if (identity.Genesis.Mode != ShardMode.Raft)
            {
                json.WriteString("mode", ShardModes.NameOf(identity.Genesis.Mode));
            }

            json.WriteEndObject();
            if (identity.Known.Count > 0)
            {
                WriteNodes(json, "knownNodes", identity.Known);
            }

            if (identity.LateShards.Count > 0)
            {
                json.WriteStartArray("lateShards");
                foreach (var late in identity.LateShards)
                {
                    json.WriteStartObject();
                    json.WriteNumber("shard", late.Shard.Value);
                    json.WriteString("group", Hex(late.Group.Value));
                    json.WriteBoolean("bornHere", late.BornHere);
                    json.WriteEndObject();
                }

                json.WriteEndArray();
            }

            if (identity.Retired.Count > 0)
            {
                json.WriteStartArray("retired");
                foreach (var retired in identity.Retired)
                {
                    json.WriteStartObject();
                    json.WriteNumber("shard", retired.Shard.Value);
                    json.WriteString("group", Hex(retired.Group.Value));
                    json.WriteEndObject();
                }

                json.WriteEndArray();
            }

            json.WriteEndObject();
        }

        // The closing brace comes after the checksum, which covers all before it.
        var body = buffer.WrittenSpan[..^1];
        return [.. body, .. ChecksumStart, .. Encoding.ASCII.GetBytes(Checksum(body)), .. ChecksumEnd];
    }

    private static void WriteNodes(Utf8JsonWriter json, string name, IReadOnlyList<ClusterMember> nodes)
    {
        json.WriteStartArray(name);
        foreach (var node in nodes)
        {
            json.WriteStartObject();
            json.WriteString("node", node.Node.Value);
            json.WriteString("rpc", node.Rpc);
            json.WriteEndObject();
        }

        json.WriteEndArray();
    }

    private static ClusterMember[] ReadNodes(JsonElement nodes) =>
        [.. nodes.EnumerateArray().Select(static m => new ClusterMember(new NodeId(Text(m, "node")), Text(m, "rpc")))];

    private static NodeIdentity Parse(JsonElement root, int format)
    {
        var genesis = root.GetProperty("genesis");
        var members = ReadNodes(genesis.GetProperty("initialCluster"));
        var known = root.TryGetProperty("knownNodes", out var nodes) ? ReadNodes(nodes) : [];
        return new NodeIdentity(
            new NodeId(Text(root, "node")),
            new Incarnation(Number(root, "incarnation")),
            Number(root, "clusterId"),
            root.GetProperty("bootNumber").GetUInt64(),
            root.GetProperty("hasLog").GetBoolean(),
            new GenesisFlags(members, genesis.GetProperty("shards").GetInt32(), genesis.GetProperty("replicas").GetInt32())
            {
                Nonce = format == FirstFormat ? 0 : Number(genesis, "nonce"),
                Mode = ModeOf(genesis),
            })
        {
            Known = known,

            // Whoever entered a cluster was told at least of the node that told it.
            HasEntered = format == FirstFormat ? known.Length > 0 : root.GetProperty("hasEntered").GetBoolean(),

            LateShards = root.TryGetProperty("lateShards", out var late)
                ? [.. late.EnumerateArray().Select(static e => new LateShard(new ShardId(e.GetProperty("shard").GetInt32()), new GroupId(Number(e, "group")), e.GetProperty("bornHere").GetBoolean()))]
                : [],

            Retired = root.TryGetProperty("retired", out var retired)
                ? [.. retired.EnumerateArray().Select(static e => new RetiredShard(new ShardId(e.GetProperty("shard").GetInt32()), new GroupId(Number(e, "group"))))]
                : [],
        };
    }

    // A cluster that began in raft, and every one from before the others were built, names none.
    private static ShardMode ModeOf(JsonElement genesis) =>
        !genesis.TryGetProperty("mode", out _) ? ShardMode.Raft
        : ShardModes.TryParse(Text(genesis, "mode"), out var mode) ? mode
        : throw new FormatException("there is no such mode");

    private static string Text(JsonElement element, string name) =>
        element.GetProperty(name).GetString() ?? throw new FormatException($"{name} is null");

    private static ulong Number(JsonElement element, string name) =>
        ulong.Parse(Text(element, name), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture);

    private static string Hex(ulong value) => value.ToString("x16", CultureInfo.InvariantCulture);

    private static string Checksum(ReadOnlySpan<byte> bytes) => Crc32C.Compute(0, bytes).ToString("x8", CultureInfo.InvariantCulture);

    private static DataDirectoryException Damaged(string path, string why) => new(
        $"{path} is damaged ({why}). Without it nobody can tell which votes this node has given. Put the file back, or: " + Rebuilding.Advice);
}
