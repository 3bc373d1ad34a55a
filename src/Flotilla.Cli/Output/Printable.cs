using System.Text;
using System.Text.Unicode;

namespace Flotilla.Cli.Output;

/// <summary>Bytes and foreign text as they may be shown.</summary>
internal static class Printable
{
    /// <summary>Bytes as one field of a line: text with tab, newline and carriage return written as <c>\t \n \r</c> (and, for a terminal, other control characters as <c>\u001b</c>, so that a value can't drive it); what is no UTF-8 as <c>base64:…</c>.</summary>
    public static string Field(ReadOnlySpan<byte> bytes, bool terminal) =>
        Utf8.IsValid(bytes) ? Field(Encoding.UTF8.GetString(bytes), terminal) : "base64:" + Convert.ToBase64String(bytes);

    /// <summary>Text as one field of a line.</summary>
    public static string Field(string text, bool terminal)
    {
        StringBuilder? changed = null;
        for (var i = 0; i < text.Length; i++)
        {
            var c = text[i];
            var replacement = c switch
            {
                '\t' => "\\t",
                '\n' => "\\n",
                '\r' => "\\r",
                _ when terminal && char.IsControl(c) => $"\\u{(int)c:x4}",
                _ => null,
            };
            if (replacement is not null)
            {
                changed ??= new StringBuilder(text, 0, i, text.Length + 16);
                changed.Append(replacement);
            }
            else
            {
                changed?.Append(c);
            }
        }

        return changed?.ToString() ?? text;
    }
}
