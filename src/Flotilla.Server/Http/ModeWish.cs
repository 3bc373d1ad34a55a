using System.Buffers;
using System.IO.Pipelines;
using System.Text.Json;
using Flotilla.Topology;
using Flotilla.Topology.Descriptors;

namespace Flotilla.Server.Http;

/// <summary>What the body of <c>PUT /config/mode</c> asks for: <c>{"mode":"sync","shards":"all"}</c>, or a list of numbers.</summary>
/// <param name="Mode">The mode.</param>
/// <param name="Shards">Of these shards; null for all.</param>
internal sealed record ModeWish(ShardMode Mode, IReadOnlyCollection<ShardId>? Shards)
{
    private const int MaxBodyBytes = 64 << 10;
    private const int MaxShards = 1000;
    private const string Needed = "The body must be {\"mode\": \"raft\", \"sync\" or \"chain\", \"shards\": \"all\" or a list of numbers}";

    /// <summary>Reads it. Null if it makes no sense, with words for the client.</summary>
    public static async Task<(ModeWish? Wish, string? Problem)> ReadAsync(HttpExchange exchange)
    {
        var body = exchange.Body;
        while (true)
        {
            var read = await body.ReadAsync();
            if (read.Buffer.Length > MaxBodyBytes)
            {
                body.AdvanceTo(read.Buffer.End);
                return (null, $"The body is over {MaxBodyBytes} bytes.");
            }

            if (read.IsCompleted)
            {
                var answer = Parse(read.Buffer);
                body.AdvanceTo(read.Buffer.End);
                return answer;
            }

            body.AdvanceTo(read.Buffer.Start, read.Buffer.End);
        }
    }

    private static (ModeWish? Wish, string? Problem) Parse(in ReadOnlySequence<byte> body)
    {
        try
        {
            using var document = JsonDocument.Parse(body);
            var root = document.RootElement;
            if (root.ValueKind != JsonValueKind.Object || !root.TryGetProperty("mode", out var named) || named.ValueKind != JsonValueKind.String)
            {
                return (null, $"{Needed}.");
            }

            if (!ShardModes.TryParse(named.GetString(), out var mode))
            {
                return (null, $"'{named.GetString()}' is no mode: raft, sync, chain, quorum or async.");
            }

            return TryShards(root, out var shards) ? (new ModeWish(mode, shards), null) : (null, $"\"shards\" must be \"all\" or a list of shards' numbers. {Needed}.");
        }
        catch (JsonException)
        {
            return (null, $"It is not valid JSON. {Needed}.");
        }
    }

    private static bool TryShards(JsonElement root, out List<ShardId>? shards)
    {
        shards = null;
        if (!root.TryGetProperty("shards", out var given) || (given.ValueKind == JsonValueKind.String && given.GetString() == "all"))
        {
            return true;
        }

        if (given.ValueKind != JsonValueKind.Array || given.GetArrayLength() is 0 or > MaxShards)
        {
            return false;
        }

        shards = [];
        foreach (var item in given.EnumerateArray())
        {
            if (item.ValueKind != JsonValueKind.Number || !item.TryGetInt32(out var number) || number < 1)
            {
                return false;
            }

            shards.Add(new ShardId(number));
        }

        return true;
    }
}
