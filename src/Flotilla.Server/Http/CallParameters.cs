using Flotilla.Node;

namespace Flotilla.Server.Http;

/// <summary>How a request wants to be carried out, from its query.</summary>
internal static class CallParameters
{
    /// <summary>Reads <c>forward</c> and <c>consistency</c>. Null if they make sense, else words for the client.</summary>
    public static string? TryParse(in QueryParameters query, HttpDoorOptions options, out CallOptions call)
    {
        var forward = options.ForwardDefault;
        var stale = false;
        call = default;
        if (query.Has(Parameters.Forward))
        {
            if (query.Forward is not ("true" or "false"))
            {
                return "\"forward\" must be true or false.";
            }

            forward = query.Forward is "true";
        }

        if (query.Has(Parameters.Consistency))
        {
            if (query.Consistency is not ("linearizable" or "stale"))
            {
                return "\"consistency\" must be linearizable or stale.";
            }

            stale = query.Consistency is "stale";
        }

        call = new CallOptions(forward, stale, 0);
        return null;
    }
}
