using System.Buffers;
using System.IO.Pipelines;
using System.Text;

namespace Flotilla.Server.Http;

/// <summary>
/// The fields of a form, as ancestors' clients send them: in the query, in the body, or in both. Read by hand, since there is
/// no framework in between; names that mean nothing are ignored, as those clients may send more.
/// </summary>
internal sealed class FormFields
{
    private const int MaxBodyBytes = 16 << 10;

    private readonly Dictionary<string, string> _fields = new(StringComparer.Ordinal);

    /// <summary>A field's value, or null if it is not given or empty.</summary>
    public string? this[string name] => _fields.TryGetValue(name, out var value) && value.Length > 0 ? value : null;

    /// <summary>Reads query and body. Null if they make sense, else words for the client.</summary>
    public static async Task<(FormFields Fields, string? Problem)> ReadAsync(HttpExchange exchange, string query)
    {
        var fields = new FormFields();
        if (fields.Add(query) is { } problem)
        {
            return (fields, problem);
        }

        if (exchange.Verb != Verbs.Post)
        {
            return (fields, null);
        }

        var body = exchange.Body;
        while (true)
        {
            ReadResult read = await body.ReadAsync();
            if (read.Buffer.Length > MaxBodyBytes)
            {
                body.AdvanceTo(read.Buffer.End);
                return (fields, $"A form has at most {MaxBodyBytes} bytes.");
            }

            if (read.IsCompleted)
            {
                var text = Encoding.UTF8.GetString(read.Buffer);
                body.AdvanceTo(read.Buffer.End);
                return (fields, fields.Add(text));
            }

            body.AdvanceTo(read.Buffer.Start, read.Buffer.End);
        }
    }

    private string? Add(string text)
    {
        foreach (var pair in text.Split('&', StringSplitOptions.RemoveEmptyEntries))
        {
            var equals = pair.IndexOf('=', StringComparison.Ordinal);
            var name = equals < 0 ? pair : pair[..equals];
            if (!PercentEncoding.TryDecode(equals < 0 ? default : pair.AsSpan(equals + 1), plusIsSpace: true, out var value))
            {
                return $"The value of \"{name}\" is not percent-encoded as it should be.";
            }

            if (!_fields.TryAdd(name, Encoding.UTF8.GetString(value).Trim()))
            {
                return $"\"{name}\" is given twice.";
            }
        }

        return null;
    }
}
