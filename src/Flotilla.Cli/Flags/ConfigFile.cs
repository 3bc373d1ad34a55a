using System.Text.Json;

namespace Flotilla.Cli.Flags;

/// <summary>
/// The file that <c>--config</c> names: one JSON object whose names are those of flags (<c>data-dir</c>, <c>dataDir</c> and
/// <c>data_dir</c> are the same). Values are text, numbers, true and false, or lists of them.
/// </summary>
internal sealed class ConfigFile
{
    private readonly Dictionary<string, string> _values = new(StringComparer.Ordinal);

    private ConfigFile(string path) => Path = path;

    /// <summary>Where it was read from.</summary>
    public string Path { get; }

    /// <summary>Reads a file. Names that no command knows are refused: they are typing errors.</summary>
    public static ConfigFile Read(string path, IEnumerable<string> known)
    {
        var file = new ConfigFile(path);
        var names = known.ToDictionary(Fold, n => n, StringComparer.Ordinal);
        try
        {
            using var document = JsonDocument.Parse(File.ReadAllBytes(path), new JsonDocumentOptions { CommentHandling = JsonCommentHandling.Skip, AllowTrailingCommas = true });
            if (document.RootElement.ValueKind != JsonValueKind.Object)
            {
                throw new UsageException($"{path}: a JSON object such as {{\"shards\": 3}} is needed");
            }

            foreach (var property in document.RootElement.EnumerateObject())
            {
                if (!names.TryGetValue(Fold(property.Name), out var name))
                {
                    throw new UsageException($"{path}: there is no setting '{property.Name}'{Suggestions.Clause(property.Name, names.Values)}");
                }

                file._values[name] = TextOf(property.Value) ?? throw new UsageException($"{path}: '{property.Name}' is needed as text, a number, true, false or a list of those");
            }
        }
        catch (JsonException problem)
        {
            throw new UsageException($"{path} is not JSON: {problem.Message}");
        }
        catch (Exception problem) when (problem is IOException or UnauthorizedAccessException)
        {
            throw new UsageException($"{path} can't be read: {problem.Message}");
        }

        return file;
    }

    /// <summary>The setting's text, or null.</summary>
    public string? Find(string name) => _values.GetValueOrDefault(name);

    private static string? TextOf(JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.String => value.GetString(),
        JsonValueKind.Number or JsonValueKind.True or JsonValueKind.False => value.GetRawText(),
        JsonValueKind.Array => value.EnumerateArray().Select(TextOf).ToArray() is var parts && !parts.Contains(null) ? string.Join(',', parts) : null,
        _ => null,
    };

    private static string Fold(string name) => name.Replace("-", "", StringComparison.Ordinal).Replace("_", "", StringComparison.Ordinal).ToLowerInvariant();
}
