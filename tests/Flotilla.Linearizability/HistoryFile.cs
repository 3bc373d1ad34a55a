using System.Text.Json;
using System.Text.Json.Serialization;

namespace Flotilla.Linearizability;

/// <summary>Histories as JSON lines, one operation each, as <c>flotilla bench --history FILE</c> writes them.</summary>
public static class HistoryFile
{
    private static readonly JsonSerializerOptions Options = new() { DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull };

    private sealed class Line
    {
        [JsonPropertyName("client")]
        public JsonElement Client { get; set; }

        [JsonPropertyName("op")]
        public string? Op { get; set; }

        [JsonPropertyName("key")]
        public string? Key { get; set; }

        [JsonPropertyName("value")]
        public string? Value { get; set; }

        [JsonPropertyName("expected")]
        public string? Expected { get; set; }

        [JsonPropertyName("start_us")]
        public long StartUs { get; set; }

        [JsonPropertyName("end_us")]
        public long EndUs { get; set; }

        [JsonPropertyName("outcome")]
        public string? Outcome { get; set; }

        [JsonPropertyName("read")]
        public string? Read { get; set; }

        [JsonPropertyName("found")]
        public bool? Found { get; set; }
    }

    /// <summary>Reads a history. A line that makes no sense throws <see cref="FormatException"/> with its number.</summary>
    public static IEnumerable<Operation> Read(TextReader reader)
    {
        var number = 0;
        while (reader.ReadLine() is { } text)
        {
            number++;
            if (text.Length > 0)
            {
                yield return Parse(text, number);
            }
        }
    }

    /// <summary>Writes a history.</summary>
    public static void Write(TextWriter writer, IEnumerable<Operation> history)
    {
        foreach (var op in history)
        {
            writer.WriteLine(JsonSerializer.Serialize(
                new Line
                {
                    Client = JsonSerializer.SerializeToElement(op.Client),
                    Op = NameOf(op.Kind),
                    Key = op.Key,
                    Value = op.Value,
                    Expected = op.Expected,
                    StartUs = op.StartUs,
                    EndUs = op.EndUs,
                    Outcome = op.Outcome switch { Outcome.Ok => "ok", Outcome.Fail => "fail", _ => "unknown" },
                    Read = op.Read,
                    Found = op.Found,
                },
                Options));
        }
    }

    private static Operation Parse(string text, int number)
    {
        try
        {
            var line = JsonSerializer.Deserialize<Line>(text, Options) ?? throw new FormatException("null");
            var kind = line.Op switch
            {
                "put" => OperationKind.Put,
                "get" => OperationKind.Get,
                "delete" => OperationKind.Delete,
                "cas" => OperationKind.CompareAndSwap,
                "increment" => OperationKind.Increment,
                _ => throw new FormatException($"op \"{line.Op}\""),
            };
            var outcome = line.Outcome switch
            {
                "ok" => Outcome.Ok,
                "fail" => Outcome.Fail,
                "unknown" => Outcome.Unknown,
                _ => throw new FormatException($"outcome \"{line.Outcome}\""),
            };
            var client = line.Client.ValueKind == JsonValueKind.String ? line.Client.GetString()! : line.Client.ToString();
            return new Operation(client, kind, line.Key ?? throw new FormatException("no key"), line.Value, line.Expected, line.StartUs, line.EndUs, outcome, line.Read, line.Found);
        }
        catch (Exception e) when (e is JsonException or FormatException)
        {
            throw new FormatException($"line {number} of the history: {e.Message}", e);
        }
    }

    private static string NameOf(OperationKind kind) => kind switch
    {
        OperationKind.Put => "put",
        OperationKind.Get => "get",
        OperationKind.Delete => "delete",
        OperationKind.CompareAndSwap => "cas",
        _ => "increment",
    };
}
