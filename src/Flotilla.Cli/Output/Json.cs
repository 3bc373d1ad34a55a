using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;
using Flotilla.Cli.Backup;
using Flotilla.Cli.Bench;
using Flotilla.Cli.Commands;
using Flotilla.Cli.Load;
using Flotilla.Cli.Status;
using Flotilla.Contracts.Http;

namespace Flotilla.Cli.Output;

/// <summary>Results as JSON: one document per line, camelCase, text readable as it is (no needless \u escapes).</summary>
internal static class Json
{
    private static readonly CliJson Cli = new(new JsonSerializerOptions
    {
        PropertyNamingPolicy = JsonNamingPolicy.CamelCase,
        DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    });

    /// <summary>Writes one document and a newline.</summary>
    public static void WriteLine<T>(TextWriter to, T document) => to.WriteLine(JsonSerializer.Serialize(document, (JsonTypeInfo<T>)Cli.GetTypeInfo(typeof(T))!));
}

/// <summary>An increment's result.</summary>
internal sealed record IncrementDocument(string Key, long Value);

/// <summary>Source-generated JSON for what the command line writes.</summary>
[JsonSerializable(typeof(PutResponse))]
[JsonSerializable(typeof(RecordDocument))]
[JsonSerializable(typeof(DeleteResponse))]
[JsonSerializable(typeof(IncrementDocument))]
[JsonSerializable(typeof(ChangeDocument))]
[JsonSerializable(typeof(ShardLifeDocument))]
[JsonSerializable(typeof(ClusterOverview))]
[JsonSerializable(typeof(MonitorSample))]
[JsonSerializable(typeof(LoadReport))]
[JsonSerializable(typeof(BackupSummary))]
[JsonSerializable(typeof(RestoreReport))]
[JsonSerializable(typeof(BenchReport))]
[JsonSerializable(typeof(WatchLine))]
[JsonSerializable(typeof(ModeDocument[]))]
internal sealed partial class CliJson : JsonSerializerContext;
