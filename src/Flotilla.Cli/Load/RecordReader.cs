using System.Text;
using System.Text.Json;
using System.Text.Unicode;

namespace Flotilla.Cli.Load;

/// <summary>How a file of records is written.</summary>
internal enum RecordFormat
{
    /// <summary>Key, tab, value; one record a line; taken as it stands, without escapes.</summary>
    Tsv,

    /// <summary>One JSON object a line with <c>key</c> and <c>value</c> (or <c>keyBase64</c>, <c>valueBase64</c>); other members are ignored.</summary>
    Json,
}

/// <summary>One line of the input: a record, or what is wrong with it.</summary>
/// <param name="Line">Its number, from 1.</param>
/// <param name="End">The byte offset behind it.</param>
/// <param name="Key">The key.</param>
/// <param name="Value">The value.</param>
/// <param name="Problem">What was expected instead, or null.</param>
internal readonly record struct InputRecord(long Line, long End, byte[] Key, byte[] Value, string? Problem);

/// <summary>
/// Reads records line by line from a stream of bytes, remembering where each line ends, so that a load can go on there.
/// Empty lines are passed over. Memory is bounded by the longest line allowed.
/// </summary>
internal sealed class RecordReader(Stream stream, RecordFormat? format, long offset = 0, long line = 0)
{
    /// <summary>A longer line is no record: a value has at most 1 MiB, and JSON makes at most six bytes of one.</summary>
    internal const int MaxLineBytes = 8 << 20;

    private byte[] _buffer = new byte[64 << 10];
    private int _start;
    private int _end;
    private bool _finished;
    private long _offset = offset;
    private long _line = line;
    private RecordFormat? _format = format;

    /// <summary>How the input is written, as far as known.</summary>
    public RecordFormat? Format => _format;

    /// <summary>What the file's name says about its format, or null.</summary>
    public static RecordFormat? FormatOf(string file) => Path.GetExtension(file).ToLowerInvariant() switch
    {
        ".tsv" or ".tab" or ".txt" => RecordFormat.Tsv,
        ".json" or ".jsonl" or ".ndjson" => RecordFormat.Json,
        _ => null,
    };

    /// <summary>The next line that is not empty, or null at the end.</summary>
    public async ValueTask<InputRecord?> ReadAsync(CancellationToken cancel)
    {
        while (true)
        {
            var searched = 0;
            int length;
            while ((length = _buffer.AsSpan(_start + searched, _end - _start - searched).IndexOf((byte)'\n')) < 0 && !_finished)
            {
                searched = _end - _start;
                if (searched > MaxLineBytes)
                {
                    return await SkipLongLineAsync(cancel);
                }

                await FillAsync(cancel);
            }

            var whole = length < 0 ? _end - _start : searched + length;
            if (length < 0 && whole == 0)
            {
                return null;
            }

            var text = _buffer.AsMemory(_start, whole);
            var consumed = whole + (length < 0 ? 0 : 1);
            _start += consumed;
            _offset += consumed;
            _line++;
            if (_line == 1 && text.Span.StartsWith("\uFEFF"u8))
            {
                text = text[3..];
            }

            if (text.Length > 0 && text.Span[^1] == '\r')
            {
                text = text[..^1];
            }

            if (text.Length > 0)
            {
                _format ??= text.Span.TrimStart(" \t"u8) is [(byte)'{', ..] ? RecordFormat.Json : RecordFormat.Tsv;
                return _format == RecordFormat.Json ? ParseJson(text) : ParseTsv(text.Span);
            }
        }
    }

    private async ValueTask FillAsync(CancellationToken cancel)
    {
        if (_start > 0)
        {
            _buffer.AsSpan(_start, _end - _start).CopyTo(_buffer);
            _end -= _start;
            _start = 0;
        }

        if (_end == _buffer.Length)
        {
            Array.Resize(ref _buffer, _buffer.Length * 2);
        }

        var read = await stream.ReadAsync(_buffer.AsMemory(_end), cancel);
        _end += read;
        _finished = read == 0;
    }

    private async ValueTask<InputRecord?> SkipLongLineAsync(CancellationToken cancel)
    {
        while (true)
        {
            var length = _buffer.AsSpan(_start, _end - _start).IndexOf((byte)'\n');
            var consumed = length < 0 ? _end - _start : length + 1;
            _start += consumed;
            _offset += consumed;
            if (length >= 0 || _finished)
            {
                _line++;
                return Bad($"the line is longer than {MaxLineBytes >> 20} MiB");
            }

            await FillAsync(cancel);
        }
    }

    private InputRecord ParseTsv(ReadOnlySpan<byte> text)
    {
        var tab = text.IndexOf((byte)'\t');
        return tab switch
        {
            < 0 => Bad("expected key<TAB>value, but there is no tab"),
            0 => Bad("expected key<TAB>value, but the key is empty"),
            _ => new InputRecord(_line, _offset, text[..tab].ToArray(), text[(tab + 1)..].ToArray(), null),
        };
    }

    private InputRecord ParseJson(ReadOnlyMemory<byte> text)
    {
        if (!Utf8.IsValid(text.Span))
        {
            return Bad("expected JSON, but the line is no UTF-8");
        }

        try
        {
            using var document = JsonDocument.Parse(text);
            var root = document.RootElement;
            if (root.ValueKind != JsonValueKind.Object)
            {
                return Bad($"expected a JSON object {{\"key\":…,\"value\":…}} on each line{(root.ValueKind == JsonValueKind.Array ? "; of an array, `jq -c '.[]'` makes lines" : "")}");
            }

            var key = BytesOf(root, "key", out var problem);
            if (problem is not null)
            {
                return Bad(problem);
            }

            var value = BytesOf(root, "value", out problem);
            return problem is not null ? Bad(problem) : key.Length == 0 ? Bad("the key is empty") : new InputRecord(_line, _offset, key, value, null);
        }
        catch (JsonException broken)
        {
            return Bad($"expected JSON: {broken.Message.Split(". LineNumber")[0].TrimEnd('.')}{(text.Span is [(byte)'[', ..] ? "; of a JSON array, `jq -c '.[]'` makes lines" : "")}");
        }
    }

    private static byte[] BytesOf(JsonElement root, string name, out string? problem)
    {
        problem = null;
        if (root.TryGetProperty(name, out var text))
        {
            switch (text.ValueKind)
            {
                case JsonValueKind.String:
                    return Encoding.UTF8.GetBytes(text.GetString()!);
                case JsonValueKind.Number or JsonValueKind.True or JsonValueKind.False:
                    return Encoding.UTF8.GetBytes(text.GetRawText());
                default:
                    problem = $"\"{name}\" must be text or a number; write a document as a text with JSON in it";
                    return [];
            }
        }

        if (root.TryGetProperty(name + "Base64", out var base64) && base64.ValueKind == JsonValueKind.String)
        {
            if (base64.TryGetBytesFromBase64(out var bytes))
            {
                return bytes;
            }

            problem = $"\"{name}Base64\" is no base64";
            return [];
        }

        problem = $"expected {{\"key\":…,\"value\":…}}, but there is no \"{name}\"";
        return [];
    }

    private InputRecord Bad(string problem) => new(_line, _offset, [], [], problem);
}
