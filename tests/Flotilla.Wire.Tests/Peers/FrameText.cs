using System.Collections;
using System.Globalization;
using System.Text;
using Flotilla.Wire.Peers;

namespace Flotilla.Wire.Tests.Peers;

/// <summary>Writes a frame out in full, so that two are compared by value through lists and bytes.</summary>
internal static class FrameText
{
    public static string Of(PeerFrame frame)
    {
        var text = new StringBuilder();
        Append(text, frame.ClusterId);
        Append(text, frame.Hello);
        Append(text, frame.Messages);
        Append(text, frame.Requests);
        Append(text, frame.Replies);
        Append(text, frame.Gossip);
        Append(text, frame.Handoffs);
        Append(text, frame.Heartbeats);
        return text.ToString();
    }

    public static string Of(object? value)
    {
        var text = new StringBuilder();
        Append(text, value);
        return text.ToString();
    }

    private static void Append(StringBuilder text, object? value)
    {
        switch (value)
        {
            case null:
                text.Append("null ");
                break;
            case ReadOnlyMemory<byte> bytes:
                text.Append(Convert.ToHexString(bytes.Span)).Append(' ');
                break;
            case string s:
                text.Append('"').Append(s).Append("\" ");
                break;
            case IEnumerable items:
                text.Append("[ ");
                foreach (var item in items)
                {
                    Append(text, item);
                }

                text.Append("] ");
                break;
            case IFormattable number when value.GetType().IsPrimitive || value is Enum:
                text.Append(number.ToString(null, CultureInfo.InvariantCulture)).Append(' ');
                break;
            case bool flag:
                text.Append(flag).Append(' ');
                break;
            default:
                text.Append(value.GetType().Name).Append("( ");
                foreach (var field in value.GetType().GetFields(System.Reflection.BindingFlags.Instance | System.Reflection.BindingFlags.NonPublic | System.Reflection.BindingFlags.Public).OrderBy(f => f.Name, StringComparer.Ordinal))
                {
                    Append(text, field.GetValue(value));
                }

                // The term of a message is a field of its base record.
                if (value is Raft.Message message)
                {
                    text.Append(message.Term.Value).Append(' ');
                }

                text.Append(") ");
                break;
        }
    }
}
